//! RFC 5424: `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID [STRUCTURED-DATA] MSG`.

use serde::Deserialize;

use crate::core::notification::{Kind, Notification};
use crate::core::rule::Severity;
use crate::sink::text::{cut, fit, shrink};
use crate::sink::words::{change, line};
use crate::sink::{BodyFormat, Dispatch};

/// What follows the structured data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageFormat {
    /// One plain line. The facts are in the structured data.
    #[default]
    Text,
    /// Our own JSON.
    Kmswatch,
    /// A `CloudEvents` 1.0 event.
    #[serde(rename = "cloudevents")]
    CloudEvents,
    /// An OCSF Detection Finding.
    Ocsf,
    /// An OCSF API Activity, or a Detection Finding where there was no call.
    OcsfActivity,
}

/// The facilities of RFC 5424 that a program may use for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Facility {
    User = 1,
    Daemon = 3,
    #[default]
    Auth = 4,
    Authpriv = 10,
    Audit = 13,
    Alert = 14,
    Local0 = 16,
    Local1 = 17,
    Local2 = 18,
    Local3 = 19,
    Local4 = 20,
    Local5 = 21,
    Local6 = 22,
    Local7 = 23,
}

/// Writes notifications down.
pub(super) struct Writer {
    pub(super) facility: Facility,
    pub(super) hostname: String,
    pub(super) format: MessageFormat,
    /// No message has more bytes.
    pub(super) max: usize,
}

impl Writer {
    pub(super) fn message(&self, d: &Dispatch<'_>) -> Vec<u8> {
        let n = d.notification;
        let mut text = format!(
            "<{}>1 {} {} kmswatch {} {} ",
            self.facility as u8 * 8 + severity(n),
            n.at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
            self.hostname,
            std::process::id(),
            n.kind.as_str(),
        );
        // Half of the message at most: what is said in words needs room too.
        structured_data(d, self.max / 2, &mut text);
        text.push(' ');
        let room = self.max.saturating_sub(text.len());
        text.push_str(&self.body(d, room));
        text.into_bytes()
    }

    fn body(&self, d: &Dispatch<'_>, room: usize) -> String {
        let format = match self.format {
            MessageFormat::Text => return plain(d.notification, room),
            MessageFormat::Kmswatch => BodyFormat::Kmswatch,
            MessageFormat::CloudEvents => BodyFormat::CloudEvents,
            MessageFormat::Ocsf => BodyFormat::Ocsf,
            MessageFormat::OcsfActivity => BodyFormat::OcsfActivity,
        };
        let document = format.document(d);
        // JSON that breaks off is none: its texts are cut harder and harder until the whole fits. ARNs stay whole.
        for max in [16_000, 2_000, 500, 250] {
            let mut document = document.clone();
            shrink(&mut document, max, 200);
            let json = ascii(&document.to_string());
            if json.len() <= room {
                return json;
            }
        }
        plain(d.notification, room)
    }
}

/// The system's host name, or RFC 5424's sign for none.
pub(super) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if is_hostname(name) { name.to_owned() } else { "-".to_owned() }
}

pub(super) fn is_hostname(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

/// An end is a notice, however bad the incident was.
fn severity(n: &Notification) -> u8 {
    match (n.kind, n.incident.severity) {
        (Kind::Resolve | Kind::Notice, _) | (_, Severity::Low) => 5,
        (_, Severity::Critical) => 2,
        (_, Severity::High) => 3,
        (_, Severity::Medium) => 4,
        (_, Severity::Info) => 6,
    }
}

/// The facts as parameters of one element, the most important first; those that do not fit into `room` bytes are left out.
fn structured_data(d: &Dispatch<'_>, room: usize, text: &mut String) {
    let n = d.notification;
    let (incident, event, key) = (&n.incident, &n.event, n.key.as_ref());
    let time = event.time.to_string();
    let alerts = incident.alerts.to_string();
    let parameters = [
        ("banner", n.banner.as_deref()),
        ("delivery", Some(d.idempotency_key)),
        ("incident", Some(incident.id.as_str())),
        ("severity", Some(incident.severity.as_str())),
        ("state", Some(incident.state.as_str())),
        ("reason", Some(n.reason.as_str())),
        ("rule", Some(incident.rule.as_str())),
        ("keyArn", key.and_then(|key| key.arn.as_deref())),
        ("keyName", key.map(crate::core::event::KeyRef::display_name)),
        ("event", Some(event.name.as_str())),
        ("eventId", Some(event.id.as_str())),
        ("eventTime", Some(time.as_str())),
        ("outcome", Some(event.outcome.as_str())),
        ("account", event.account.as_deref()),
        ("region", event.region.as_deref()),
        ("principal", event.actor.principal.as_deref()),
        ("session", event.actor.session.as_deref()),
        ("sourceIp", event.actor.ip.as_deref()),
        ("alerts", Some(alerts.as_str())),
        ("runbook", incident.runbook.as_deref()),
    ];
    text.push('[');
    text.push_str(SD_ID);
    let start = text.len();
    for (name, value) in parameters {
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        let parameter = format!(" {name}=\"{}\"", escaped(&fit(value, VALUE_MAX)));
        if text.len() - start + parameter.len() > room {
            break;
        }
        text.push_str(&parameter);
    }
    text.push(']');
}

/// RFC 5424, 6.3.3: `"`, `\` and `]`.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// One line for people. RFC 5424, 6.4: text in UTF-8 begins with a byte order mark; plain ASCII needs none.
fn plain(n: &Notification, room: usize) -> String {
    let said = change(n);
    let said = if said.contains(&n.summary) { said } else { format!("{said} ({})", n.summary) };
    let line = format!("{} {}: {}", n.kind.as_str(), n.incident.severity.as_str(), line(n, &said));
    let line = n.banner.as_ref().map_or(line.clone(), |banner| format!("[{banner}] {line}"));
    let mut text = fit(&line, room.min(4_000));
    if !text.is_ascii() {
        text.insert(0, '\u{FEFF}');
    }
    while text.len() > room {
        // Letters are of up to four bytes: three quarters of them are a step that surely ends.
        text = cut(&text, text.encode_utf16().count() * 3 / 4);
    }
    text
}

/// JSON can say everything in ASCII; then no receiver has to guess.
fn ascii(json: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut units) {
            // Writing to a text cannot fail.
            write!(out, "\\u{unit:04x}").unwrap_or_default();
        }
    }
    out
}

/// The number is the one that is set aside for documentation and examples (RFC 5612): kmswatch has none of its own.
const SD_ID: &str = "kmswatch@32473";
/// Characters of one parameter's value.
const VALUE_MAX: usize = 256;
