//! The RTSP library's connection to the relay: the one that knows its secret.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::framing::{Framing, Item};
use super::head::Head;
use super::urls::Prefix;

/// How long whoever connects may take to show that it is the library.
const GREETING: Duration = Duration::from_secs(1);

/// The library's connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) framing: Framing,
}

/// Waits for the library: whoever knows the secret. Others are turned away.
pub(super) async fn greeted(listener: &TcpListener, prefix: &Prefix) -> Option<(Client, Head)> {
    loop {
        let (stream, _) = listener.accept().await.ok()?;
        stream.set_nodelay(true).ok();
        let mut client = Client { stream, framing: Framing::default() };
        if let Ok(Some(first)) = timeout(GREETING, greeting(&mut client, prefix)).await {
            return Some((client, first));
        }
    }
}

async fn greeting(client: &mut Client, prefix: &Prefix) -> Option<Head> {
    loop {
        match client.framing.next().ok()? {
            Some(Item::Message(first, _)) => {
                return prefix.stripped(first.uri()).is_some().then_some(first);
            }
            Some(Item::Packet(..)) => return None,
            None => {}
        }
        if client.stream.read_buf(client.framing.room()).await.ok()? == 0 {
            return None;
        }
    }
}
