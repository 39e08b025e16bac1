//! The bytes of one server-sent event.

use bytes::{BufMut, Bytes, BytesMut};

/// Sent when nothing has happened for a while: proxies cut silent connections.
pub(super) const KEEP_ALIVE: &[u8] = b": still here\n\n";

/// One event. `data` is JSON as serde writes it, without line breaks.
pub(super) fn event(name: &str, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(name.len() + data.len() + 16);
    for part in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        frame.put_slice(part);
    }
    frame.freeze()
}
