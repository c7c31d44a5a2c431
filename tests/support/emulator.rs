//! Starts the AWS-compatible servers that other people wrote, out of the virtual environment that `tests/run` makes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server of somebody else, on a loopback port. Ends with its value.
pub(crate) struct Emulator {
    pub(crate) url: String,
    child: Child,
}

impl Emulator {
    /// Starts `moto` or `ministack` and waits until it answers.
    pub(crate) fn start(venv: &Path, name: &str) -> Self {
        let addr = free_port();
        let port = addr.port().to_string();
        let log_path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{port}.log"));
        let log = File::create(&log_path).unwrap();
        let bin = venv.join("bin");
        let mut command = match name {
            "moto" => {
                let mut command = Command::new(bin.join("moto_server"));
                command.args(["-H", "127.0.0.1", "-p", &port]);
                command
            }
            "ministack" => {
                let mut command = Command::new(bin.join("ministack"));
                command.envs([("BIND_HOST", "127.0.0.1"), ("GATEWAY_PORT", &port)]);
                command
            }
            other => panic!("no server is called {other}"),
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{name} does not start from {}: {error}", bin.display()));
        let mut server = Self { url: format!("http://{addr}"), child };
        let deadline = Instant::now() + Duration::from_secs(90);
        while TcpStream::connect_timeout(&addr, Duration::from_millis(200)).is_err() {
            assert!(server.child.try_wait().unwrap().is_none(), "{name} ended: see {}", log_path.display());
            assert!(Instant::now() < deadline, "{name} does not answer: see {}", log_path.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}
