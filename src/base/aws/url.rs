//! The part of a URL that AWS endpoints and queues use.

/// `http(s)://host[:port][/path]`, without user, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    https: bool,
    host: String,
    port: Option<u16>,
    path: String,
}

impl HttpUrl {
    /// Reads a URL of that form.
    ///
    /// # Errors
    /// What is wrong, for a person: it starts in lower case and ends without a full stop.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (https, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err("a URL starts with https:// or http://".to_owned());
        };
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a URL holds no spaces and no letters beyond ASCII".to_owned());
        }
        if rest.contains(['?', '#']) {
            return Err("this URL takes no query and no fragment".to_owned());
        }
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, String::new()),
        };
        if authority.contains('@') {
            return Err("this URL takes no user and no password".to_owned());
        }
        let (host, port) = split_port(authority)?;
        let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let fits = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(letters) && !host.split('.').any(str::is_empty),
        };
        if !fits {
            return Err(format!("`{host}` is not a host name"));
        }
        Ok(Self { https, host: host.to_ascii_lowercase(), port, path })
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{}{port}", self.host)
    }

    pub fn https(&self) -> bool {
        self.https
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// What follows the host: empty, or starting with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// This machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let colon = authority.rfind(':').filter(|at| !authority.get(*at..).unwrap_or_default().contains(']'));
    let Some((host, port)) = colon.and_then(|at| authority.split_at_checked(at)) else {
        return Ok((authority, None));
    };
    let port = port.trim_start_matches(':');
    match port.parse() {
        Ok(number) if number > 0 => Ok((host, Some(number))),
        _ => Err(format!("`{port}` is not a port")),
    }
}
