use std::io::Write as _;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::*;
use crate::core::notification::Notification;
use crate::sink::kit;
use crate::sink::sample::Sample;

/// An authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for a name, and its key.
    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    fn file(&self) -> PathBuf {
        kept(&self.0.pem())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

/// A file that stays for the test's life.
fn kept(text: &str) -> PathBuf {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.into_temp_path().keep().unwrap()
}

/// A receiver that counts octets, strictly.
struct Receiver {
    address: String,
    messages: mpsc::UnboundedReceiver<(usize, Vec<u8>)>,
}

impl Receiver {
    /// `most` messages a connection, then it hangs up.
    async fn start(tls: Option<TlsAcceptor>, most: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, messages) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let Some(tls) = &tls else {
                    take(stream, connection, most, &sender).await;
                    continue;
                };
                if let Ok(stream) = tls.accept(stream).await {
                    take(stream, connection, most, &sender).await;
                }
            }
        });
        Self { address, messages }
    }

    async fn next(&mut self) -> (usize, String) {
        let (connection, message) = kit::soon(self.messages.recv()).await.unwrap();
        (connection, String::from_utf8(message).unwrap())
    }
}

async fn take(
    mut stream: impl AsyncRead + Unpin,
    connection: usize,
    most: usize,
    sender: &mpsc::UnboundedSender<(usize, Vec<u8>)>,
) -> Option<()> {
    for _ in 0..most {
        let mut length = String::new();
        loop {
            match stream.read_u8().await.ok()? {
                b' ' => break,
                digit => length.push(char::from(digit)),
            }
        }
        assert!(!length.starts_with('0'), "RFC 5425: MSG-LEN begins with a digit that is not 0");
        let mut message = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut message).await.ok()?;
        sender.send((connection, message)).ok()?;
    }
    Some(())
}

fn server(authority: &Authority, name: &str, clients: Option<&Authority>) -> TlsAcceptor {
    let (cert, key) = authority.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![cert.der().clone()], key).unwrap()))
}

fn config(address: &str, more: &str) -> Config {
    toml::from_str(&format!("address = \"{address}\"\nhostname = \"host.example.org\"\n{more}")).unwrap()
}

fn sink(address: &str, more: &str) -> Arc<dyn Sink> {
    config(address, more).build(&kit::context()).unwrap()
}

fn writer(format: MessageFormat, max: usize) -> Writer {
    Writer { facility: Facility::Auth, hostname: "-".to_owned(), format, max }
}

fn message(n: &Notification, format: MessageFormat) -> String {
    String::from_utf8(writer(format, 8_192).message(&kit::dispatch(n))).unwrap()
}

#[tokio::test]
async fn over_tls_each_notification_is_one_counted_message() {
    let authority = Authority::new();
    let mut receiver = Receiver::start(Some(server(&authority, "localhost", None)), usize::MAX).await;
    let address = receiver.address.replace("127.0.0.1", "localhost");
    let sink = sink(&address, &format!("tls.ca_file = {:?}", authority.file()));
    for sample in Sample::ALL {
        sink.deliver(&kit::dispatch(&kit::sample(sample))).await.unwrap();
    }
    for sample in Sample::ALL {
        let (connection, message) = receiver.next().await;
        assert_eq!(connection, 0, "one connection while it is in use");
        let kind = kit::sample(sample).kind.as_str();
        assert!(message.contains(&format!(" host.example.org kmswatch {} {kind} [kmswatch@32473 ", std::process::id())), "{message}");
    }
}

#[tokio::test]
async fn a_certificate_of_somebody_else_or_for_somebody_else_is_refused() {
    let authority = Authority::new();
    for (address_of, authority_of, name) in [("localhost", Authority::new(), "localhost"), ("localhost", Authority::new(), "other")] {
        let trusted = if name == "other" { authority_of.file() } else { authority.file() };
        let receiver = Receiver::start(Some(server(&authority_of, name, None)), 1).await;
        let address = receiver.address.replace("127.0.0.1", address_of);
        let sink = sink(&address, &format!("tls.ca_file = {trusted:?}"));
        let error = kit::soon(sink.deliver(&kit::dispatch(&kit::sample(Sample::KeyDisabled)))).await.unwrap_err();
        assert!(error.detail.contains("certificate") && !error.outcome_unknown, "{error}");
        assert!(sink.probe().await.is_err());
    }
}

#[tokio::test]
async fn it_shows_its_own_certificate_where_it_is_asked_for() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let mut receiver = Receiver::start(Some(server(&authority, "logs", Some(&clients))), usize::MAX).await;
    let (cert, key) = clients.sign("kmswatch", ExtendedKeyUsagePurpose::ClientAuth);
    let (cert, key) = (kept(&cert.pem()), kept(&key.serialize_pem()));
    let tls = format!("tls.ca_file = {:?}\ntls.server_name = \"logs\"", authority.file());
    let sink = sink(&receiver.address, &format!("{tls}\ntls.cert_file = {cert:?}\ntls.key_file = {key:?}"));
    sink.deliver(&kit::dispatch(&kit::sample(Sample::KeyDisabled))).await.unwrap();
    assert!(receiver.next().await.1.contains("trigger"));
}

#[tokio::test]
async fn a_closed_connection_is_seen_before_it_is_written_to() {
    let mut receiver = Receiver::start(None, 1).await;
    let sink = sink(&receiver.address, "plain = true");
    for expected in 0..4 {
        sink.deliver(&kit::dispatch(&kit::sample(Sample::KeyDisabled))).await.unwrap();
        assert_eq!(receiver.next().await.0, expected, "each on a connection of its own, and none is lost");
        // The receiver hangs up after one; its close has to get here.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nobody_there_is_retried_and_a_deaf_one_times_out() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    let n = kit::sample(Sample::KeyDisabled);
    // It accepts, but never shakes hands.
    let error = kit::soon(sink(&address, "timeout = \"300ms\"").deliver(&kit::dispatch(&n))).await.unwrap_err();
    assert!(error.reason == FailReason::Timeout && !error.outcome_unknown, "{error}");
    drop(nobody);
    let error = sink(&address, "plain = true").deliver(&kit::dispatch(&n)).await.unwrap_err();
    assert_eq!((error.class, error.reason, error.outcome_unknown), (Class::Retry { after: None }, FailReason::Network, false));
    let error = sink("169.254.169.254:514", "plain = true").deliver(&kit::dispatch(&n)).await.unwrap_err();
    assert_eq!(error.class, Class::Park);
}

#[tokio::test]
async fn what_is_cut_off_in_the_middle_is_not_continued() {
    // Reads nothing: a message larger than the buffers does not get through in time.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let mut line = Line::connect(&address, None).await.unwrap();
    let (_accepted, _): (TcpStream, _) = listener.accept().await.unwrap();
    let huge = vec![b'x'; 64 << 20];
    assert!(tokio::time::timeout(Duration::from_millis(200), line.write(&huge)).await.is_err());

    let sink = Syslog {
        writer: writer(MessageFormat::Text, 8_192),
        address,
        tls: None,
        timeout: Duration::from_millis(1),
        line: Mutex::new(Some(line)),
    };
    let n = kit::sample(Sample::KeyDisabled);
    let error = sink.deliver(&Dispatch { outcome_unknown: true, ..kit::dispatch(&n) }).await.unwrap_err();
    assert!(matches!(error.class, Class::Retry { .. }), "{error}");
    assert!(sink.line.lock().await.is_none(), "that connection is gone");
}

#[test]
fn a_message_begins_with_priority_version_time_and_origin() {
    let n = kit::sample(Sample::KeyDisabled);
    let text = message(&n, MessageFormat::Text);
    let pid = std::process::id();
    assert!(text.starts_with(&format!("<35>1 2026-11-23T09:14:45.000000Z - kmswatch {pid} trigger [kmswatch@32473 delivery=\"delivery-1\" ")), "{text}");
    assert!(text.ends_with("] trigger high: KMS key disabled: DisableKey on alias/prod-payments by role/platform-admin (alice@example.org)"), "{text}");
    let priority = |sample| message(&kit::sample(sample), MessageFormat::Text).split_once('>').unwrap().0.to_owned();
    let all = [Sample::DeletionScheduled, Sample::DeniedUse, Sample::Resolved, Sample::KeyRotated].map(priority);
    assert_eq!(all, ["<34", "<36", "<37", "<37"]);
}

#[test]
fn values_are_escaped_and_text_that_is_not_ascii_says_so() {
    let mut n = kit::sample(Sample::KeyDisabled);
    n.event.actor.session = Some("a\"b\\c]d\ne".into());
    assert!(message(&n, MessageFormat::Text).contains(r#" session="a\"b\\c\]d e" "#));
    assert!(!message(&n, MessageFormat::Text).contains('\u{FEFF}'), "ASCII needs no mark");
    n.summary = "Schlüssel".into();
    let text = message(&n, MessageFormat::Text);
    assert!(text.contains("] \u{FEFF}trigger"), "{text}");
    let json = message(&n, MessageFormat::Kmswatch);
    assert!(json.is_ascii() && json.contains("Schl\\u00fcssel"), "{json}");
    let (_, body) = json.rsplit_once("] {").unwrap();
    let body: serde_json::Value = serde_json::from_str(&format!("{{{body}")).unwrap();
    assert_eq!(body["data"]["summary"], "Schlüssel");
}

#[test]
fn no_message_is_longer_than_allowed_and_cut_json_stays_json() {
    let formats = [
        MessageFormat::Text,
        MessageFormat::Kmswatch,
        MessageFormat::CloudEvents,
        MessageFormat::Ocsf,
        MessageFormat::OcsfActivity,
    ];
    let mut long = kit::sample(Sample::DeniedUse);
    long.summary = "long ".repeat(5_000);
    for max in [2_048, 8_192, 65_536] {
        for format in formats {
            for n in [&kit::hostile(), &long] {
                let message = writer(format, max).message(&kit::dispatch(n));
                assert!(message.len() <= max, "{} of {max} in {format:?}", message.len());
                let text = String::from_utf8(message).unwrap();
                assert!(!text.contains('\n') && !text.contains('\u{1b}'), "{text}");
            }
        }
        let cut = writer(MessageFormat::Kmswatch, max.max(8_192)).message(&kit::dispatch(&long));
        let cut = String::from_utf8(cut).unwrap();
        let (_, body) = cut.split_once("] {").unwrap();
        serde_json::from_str::<serde_json::Value>(&format!("{{{body}")).unwrap();
    }
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let problems = |text: &str| {
        let mut problems = vec![];
        toml::from_str::<Config>(text).unwrap().check(0..0, &mut problems);
        assert!(problems.iter().all(|problem| problem.hint.is_some()));
        problems.into_iter().map(|p| (text.get(p.span).unwrap().to_owned(), p.message)).collect::<Vec<_>>()
    };
    for wrong in ["logs", "logs:", "logs:0", "logs:70000", ":514", "a b:1", "[::zz]:514", "a..b:1", "https://x:1"] {
        assert_eq!(problems(&format!("address = '{wrong}'")).len(), 1, "{wrong}");
    }
    for fine in ["logs.example.com:6514", "[::1]:6514", "10.0.0.1:6514", "logs:6514"] {
        assert!(problems(&format!("address = '{fine}'")).is_empty(), "{fine}");
    }
    assert!(problems("address = 'localhost:514'\nplain = true").is_empty());
    assert!(problems("address = 'logs:514'\nplain = true")[0].1.contains("unencrypted"));
    let text = "address = 'logs:1'\nhostname = 'a b'\nmax_size = 100\ntimeout = '5m'\ntls.cert_file = '/c'\ntls.server_name = 'a b'";
    let places: Vec<String> = problems(text).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["'/c'", "'a b'", "'a b'", "100", "'5m'"]);
    assert!(problems("address = '[::1]:1'\nplain = true\ntls.ca_file = '/c'")[0].1.contains("exclude"));
    let missing = config("logs:1", "tls.ca_file = '/nowhere/ca.pem'").build(&kit::context()).err().unwrap().to_string();
    assert!(missing.contains("/nowhere/ca.pem"), "{missing}");
}
