//! `camlens health`: checks whether a running service is ready.
//!
//! A container image without curl needs a way to check its own service. One plain request over TCP
//! is enough.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Args;

use super::Source;
use crate::error::{Error, Kind, Result};

const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
pub(super) struct Health {
    /// The service to check [default: the admin port, or else the port, of the settings]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    source: Source,
}

impl Health {
    pub(super) fn run(&self) -> Result<()> {
        let authority = match &self.url {
            Some(url) => authority(url)?,
            None => {
                let server = self.source.load()?.server;
                reachable(server.admin_listen.unwrap_or(server.listen)).to_string()
            }
        };
        let status = ask(&authority)
            .map_err(|error| Error::new(Kind::NotReady, format!("http://{authority}: {error}")))?;
        match status.as_str() {
            "200" => Ok(()),
            _ => Err(Error::new(
                Kind::NotReady,
                format!("http://{authority} is not ready: it responds with status {status}"),
            )),
        }
    }
}

/// The address at which a service that listens on all interfaces is reachable from its machine.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn authority(url: &str) -> Result<String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| {
        Error::new(Kind::Option, format!("--url {url}: it must begin with http://"))
    })?;
    let authority = rest.split('/').next().unwrap_or_default();
    let has_port = authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
    Ok(if has_port { authority.to_owned() } else { format!("{authority}:80") })
}

/// The status of `GET /health/ready`.
fn ask(authority: &str) -> std::io::Result<String> {
    let address = authority.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| std::io::Error::other("no such host"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /health/ready HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n")?;
    // "HTTP/1.1 200": the status is all that matters.
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    let line = String::from_utf8_lossy(&line);
    let status = line.strip_prefix("HTTP/1.1 ");
    status.map(str::to_owned).ok_or_else(|| std::io::Error::other("not an HTTP server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_a_port() {
        assert_eq!(authority("http://localhost:8080/").unwrap(), "localhost:8080");
        assert_eq!(authority("http://camlens/health").unwrap(), "camlens:80");
        assert_eq!(authority("https://camlens").unwrap_err().kind(), Kind::Option);
    }

    #[test]
    fn a_wildcard_address_is_reached_by_the_loopback_address() {
        assert_eq!(reachable(SocketAddr::from(([0, 0, 0, 0], 80))).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
    }
}
