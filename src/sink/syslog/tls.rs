//! TLS as a client: the system's authorities, one's own, and a certificate of one's own where the receiver asks for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_platform_verifier::Verifier;
use serde::Deserialize;
use serde_spanned::Spanned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::base::diagnostic::Problem;
use crate::sink::BuildError;

/// `[sinks.<name>.syslog.tls]`
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// PEM file with certificate authorities to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM file with kmswatch's own certificate and its chain, for receivers that ask for one.
    #[serde(default)]
    #[schemars(with = "Option<PathBuf>")]
    pub cert_file: Option<Spanned<PathBuf>>,
    /// PEM file with that certificate's private key.
    #[serde(default)]
    #[schemars(with = "Option<PathBuf>")]
    pub key_file: Option<Spanned<PathBuf>>,
    /// The name that the receiver's certificate must be for. Default: the host of `address`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub server_name: Option<Spanned<String>>,
}

/// Whether a sink built from the one would be as one built from the other. With a file nobody can say: it may be another by now.
impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        let files = |one: &Self| one.ca_file.is_some() || one.cert_file.is_some() || one.key_file.is_some();
        !files(self) && !files(other) && self.server_name == other.server_name
    }
}

impl Config {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let alone = match (&self.cert_file, &self.key_file) {
            (Some(file), None) => Some((file, "cert_file", "key_file")),
            (None, Some(file)) => Some((file, "key_file", "cert_file")),
            _ => None,
        };
        if let Some((file, given, missing)) = alone {
            problems.push(
                Problem::error(file.span(), format!("`{given}` needs a `{missing}`"))
                    .hint("a certificate and its key go together; leave both out if the receiver asks for none"),
            );
        }
        if let Some(name) = self.server_name.as_ref().filter(|name| server_name(name.get_ref()).is_err()) {
            problems.push(
                Problem::error(name.span(), "this is not the name of a server")
                    .hint("write the name that its certificate is for, such as \"logs.example.com\""),
            );
        }
    }

    /// Reads the files.
    pub(super) fn open(&self, host: &str) -> Result<Tls, BuildError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let own = self.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let wrong = |error: &dyn std::fmt::Display| BuildError::Wrong(format!("TLS cannot be set up: {error}"));
        let verifier = Verifier::new_with_extra_roots(own, Arc::clone(&provider)).map_err(|error| wrong(&error))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match (&self.cert_file, &self.key_file) {
            (Some(chain), Some(key)) => {
                let chain = certificates(chain.get_ref())?;
                let key = PrivateKeyDer::from_pem_file(key.get_ref())
                    .map_err(|_| unreadable(key.get_ref(), "holds no private key in PEM"))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| wrong(&error))?
            }
            _ => builder.with_no_client_auth(),
        };
        let name = self.server_name.as_ref().map_or(host, |name| name.get_ref());
        Ok(Tls {
            connector: TlsConnector::from(Arc::new(config)),
            name: server_name(name).map_err(|()| BuildError::Wrong(format!("`{name}` is not the name of a server")))?,
        })
    }
}

pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    pub(super) async fn shake_hands(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, ()> {
    ServerName::try_from(name.to_owned()).map_err(drop)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unreadable(path, "holds no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable(path, &error.to_string())),
    }
}

fn unreadable(path: &Path, why: &str) -> BuildError {
    BuildError::Wrong(format!("`{}`: {why}", path.display()))
}
