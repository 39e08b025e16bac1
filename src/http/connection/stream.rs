//! The socket of a connection, which reports what passes through it.

use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;
use super::own_error;

/// How every HTTP/2 connection begins, and no HTTP/1 request.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// At most this much of what a client still sends is read before its connection is closed.
const MOST_UNREAD: usize = 1 << 20;

/// Bytes to send when the connection is closed.
#[derive(Clone, Default)]
pub(super) struct LastWords(Arc<Mutex<Vec<u8>>>);

impl LastWords {
    pub(super) fn set(&self, bytes: Vec<u8>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    }
}

/// A socket whose traffic is recorded.
pub(super) struct ObservedStream {
    stream: TcpStream,
    activity: Arc<Activity>,
    last_words: LastWords,
    has_received: bool,
    /// What is left of a problem that is written in place of an error of hyper's.
    problem: Vec<u8>,
}

impl ObservedStream {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>, last_words: LastWords) -> Self {
        Self { stream, activity, last_words, has_received: false, problem: Vec::new() }
    }

    /// Writes a problem in place of an error of hyper's, if that is what these bytes are.
    fn poll_problem(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Option<Poll<Result<usize>>> {
        if self.problem.is_empty() {
            self.problem = own_error::replacement(bytes)?;
        }
        while !self.problem.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.problem) {
                Poll::Ready(Ok(count @ 1..)) => drop(self.problem.drain(..count)),
                Poll::Ready(Ok(_)) => return Some(Poll::Ready(Err(ErrorKind::WriteZero.into()))),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        Some(Poll::Ready(Ok(bytes.len())))
    }

    fn written(&self, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.activity.sent(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.blocks(),
        }
        written
    }
}

impl Drop for ObservedStream {
    fn drop(&mut self) {
        let bytes = self.last_words.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !bytes.is_empty() {
            // They are few, and nothing else was sent, so the socket takes them if it takes any.
            let _ = self.stream.try_write(&bytes);
        }
        // A socket that is closed with unread bytes tells the client to forget what it received.
        let mut unread = [0; 4096];
        for _ in 0..MOST_UNREAD / unread.len() {
            if !matches!(self.stream.try_read(&mut unread), Ok(1..)) {
                break;
            }
        }
    }
}

impl AsyncRead for ObservedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = &buffer.filled()[before..];
        if !new.is_empty() {
            if !self.has_received && new.starts_with(HTTP2_PREFACE) {
                self.activity.speaks_http2();
            }
            self.has_received = true;
            self.activity.received();
        }
        read
    }
}

impl AsyncWrite for ObservedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let written = match self.poll_problem(context, bytes) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        };
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let problem = match parts {
            [part] => self.poll_problem(context, part),
            _ => None,
        };
        let written = match problem {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write_vectored(context, parts),
        };
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.activity.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
