//! `kmswatch healthcheck`: the container's own question to the daemon; needs no shell and no curl in the image.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{ExitStatus, http, load, say, talk};
use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file that says where the daemon listens.
    #[arg(long, short, default_value = config::DEFAULT_PATH, env = "KMSWATCH_CONFIG")]
    config: PathBuf,
    /// Where it listens, whatever the configuration says.
    #[arg(long, env = "KMSWATCH_ADMIN")]
    address: Option<SocketAddr>,
    /// Ask whether it is ready rather than whether it is alive.
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(args: Args) -> ExitStatus {
    let address = match args.address {
        Some(address) => address,
        None => match load(&args.config) {
            Ok(loaded) if loaded.config.admin.enabled => local(loaded.config.admin.listen),
            Ok(_) => {
                say("the admin door is turned off: nothing can be asked");
                return ExitStatus::Fine;
            }
            Err(status) => return status,
        },
    };
    let path = if args.ready { "/readyz" } else { "/livez" };
    let asked = http::ask(address, "GET", path, &[], "");
    match tokio::time::timeout(Duration::from_secs(4), asked).await {
        Ok(Ok(answer)) => {
            say(answer.body.trim());
            if answer.status == 200 { ExitStatus::Fine } else { ExitStatus::NotFine }
        }
        Ok(Err(error)) => {
            talk(&format!("error: {address} does not answer: {error}"));
            ExitStatus::NotFine
        }
        Err(_) => {
            talk(&format!("error: {address} did not answer within 4 s"));
            ExitStatus::NotFine
        }
    }
}

/// What listens on every address is asked on this machine's own.
fn local(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()) } else { listen }
}
