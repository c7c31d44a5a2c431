//! The AWS Security Finding Format (ASFF).

use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::base::aws::partition;
use crate::core::event::KeyRef;
use crate::core::incident::State;
use crate::core::notification::{Kind, Notification};
use crate::core::rule::Severity;
use crate::sink::text::fit;
use crate::sink::words::{change, facts};

/// Whose Security Hub it is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) account: String,
    pub(super) region: String,
}

/// The incident as a finding. Texts are cut to what the format allows.
pub(super) fn finding(n: &Notification, place: &Place) -> Value {
    let incident = &n.incident;
    let Place { account, region } = place;
    // A notice was never open.
    let over = incident.state == State::Resolved || matches!(n.kind, Kind::Resolve | Kind::Notice);
    let severity = json!({ "Label": label(incident.severity), "Original": incident.severity.as_str() });
    let types = json!([type_of(&incident.tags)]);
    let banner = n.banner.as_ref().map(|banner| format!("[{banner}] ")).unwrap_or_default();
    let mut finding = json!({
        "SchemaVersion": "2018-10-08",
        "Id": fit(&format!("kmswatch/{}", incident.id), 512),
        "ProductArn": format!("arn:{}:securityhub:{region}:{account}:product/{account}/default", partition(region)),
        "ProductName": "kmswatch",
        "CompanyName": "kmswatch",
        "GeneratorId": text(&incident.rule, 512),
        "AwsAccountId": account,
        "Types": types,
        "FirstObservedAt": time(incident.opened_at),
        "LastObservedAt": time(incident.last_alert_at),
        "CreatedAt": time(incident.opened_at),
        "UpdatedAt": time(updated_at(n)),
        "Severity": severity,
        "FindingProviderFields": { "Severity": severity, "Types": types },
        "Title": text(&format!("{banner}{}", incident.title), 256),
        "Description": text(&description(n), 1_024),
        "ProductFields": product_fields(n),
        "Resources": [resource(n, region)],
        "RecordState": if over { "ARCHIVED" } else { "ACTIVE" },
        // So that nobody takes what was played for real.
        "Sample": n.banner.is_some(),
    });
    let more = [("Remediation", remediation(n)), ("SourceUrl", source_url(n)), ("Action", action(n))];
    if let Some(members) = finding.as_object_mut() {
        members.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    finding
}

/// Security Hub passes over an update that is no newer than what it has, and what one moment decides of an incident (its trigger and
/// its end, say) is told with one time. So each notification of an incident is a millisecond later than the one before.
fn updated_at(n: &Notification) -> Timestamp {
    let earlier = i64::from(n.incident.transition.saturating_sub(1));
    n.at.checked_add(SignedDuration::from_millis(earlier)).unwrap_or(n.at)
}

fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "CRITICAL",
        Severity::High => "HIGH",
        Severity::Medium => "MEDIUM",
        Severity::Low => "LOW",
        Severity::Info => "INFORMATIONAL",
    }
}

/// Security Hub's taxonomy, by the rule's ATT&CK techniques.
fn type_of(tags: &[String]) -> &'static str {
    const TACTICS: &[(&str, &str)] = &[
        ("attack.T1485", "TTPs/Impact"),
        ("attack.T1486", "TTPs/Impact"),
        ("attack.T1489", "TTPs/Impact"),
        ("attack.T1490", "TTPs/Impact"),
        ("attack.T1098", "TTPs/Persistence"),
        ("attack.T1548", "TTPs/Privilege Escalation"),
        ("attack.T1555", "TTPs/Credential Access"),
        ("attack.T1562", "TTPs/Defense Evasion"),
    ];
    let found = tags.iter().find_map(|tag| TACTICS.iter().find(|(technique, _)| tag.starts_with(technique)));
    found.map_or("Unusual Behaviors", |(_, tactic)| tactic)
}

fn description(n: &Notification) -> String {
    let parts = [Some(change(n)), n.meaning.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The card's lines, and what joins a finding to kmswatch.
fn product_fields(n: &Notification) -> Value {
    let incident = &n.incident;
    let mut fields = Map::new();
    let mut say = |name: &str, value: &str| {
        let value = fit(value, 2_048);
        if !value.trim().is_empty() && fields.len() < FIELDS_MAX {
            fields.insert(format!("kmswatch/{}", fit(name, 100)), value.into());
        }
    };
    say("Incident", &incident.id);
    say("Family", &incident.family);
    say("Fingerprint", &incident.fingerprint.0);
    say("Reason", n.reason.as_str());
    say("State", incident.state.as_str());
    say("Event", &n.event.id);
    say("Alerts", &incident.alerts.to_string());
    say("Tags", &incident.tags.join(" "));
    say("Undo", n.undo.as_deref().unwrap_or_default());
    say("Remarks", &n.marks.join("; "));
    for fact in facts(n) {
        say(&fact.label, &fact.value);
    }
    Value::Object(fields)
}

/// The key; where none is known, the account in which it happened.
fn resource(n: &Notification, region: &str) -> Value {
    let known = n.key.as_ref().and_then(|key| Some((key, key.arn.as_deref()?)));
    let Some((key, arn)) = known else {
        let account = n.event.account.as_deref().unwrap_or("unknown");
        let region = n.event.region.as_deref().unwrap_or(region);
        return json!({ "Type": "AwsAccount", "Id": text(&format!("AWS::::Account:{account}"), 512), "Region": text(region, 32) });
    };
    let mut resource = json!({
        "Type": "AwsKmsKey",
        "Id": text(arn, 512),
        "Details": { "AwsKmsKey": details(key) },
    });
    let tags: Map<String, Value> = key
        .tags
        .iter()
        .chain(&key.labels)
        .filter(|(name, value)| !name.trim().is_empty() && !value.trim().is_empty())
        .take(FIELDS_MAX)
        .map(|(name, value)| (fit(name, 128), fit(value, 256).into()))
        .collect();
    if let Some(region) = &key.region {
        resource["Region"] = text(region, 32);
        resource["Partition"] = partition(region).into();
    }
    if !tags.is_empty() {
        resource["Tags"] = Value::Object(tags);
    }
    resource
}

fn details(key: &KeyRef) -> Value {
    let mut details = Map::new();
    for (name, value) in [
        ("AWSAccountId", &key.account),
        ("KeyId", &key.id),
        ("KeyManager", &key.manager),
        ("KeyState", &key.state),
        ("Origin", &key.origin),
        ("Description", &key.aliases.first().cloned()),
    ] {
        if let Some(value) = value.as_deref().filter(|value| !value.trim().is_empty()) {
            details.insert(name.to_owned(), text(value, 512));
        }
    }
    Value::Object(details)
}

fn remediation(n: &Notification) -> Option<Value> {
    let parts: Vec<&str> = [n.action.as_deref(), n.undo.as_deref()].into_iter().flatten().collect();
    let said = parts.join(" ");
    let url = n.incident.runbook.as_deref().filter(|url| url.starts_with("https://"));
    if said.trim().is_empty() && url.is_none() {
        return None;
    }
    let mut recommendation = Map::new();
    if !said.trim().is_empty() {
        recommendation.insert("Text".to_owned(), text(&said, 512));
    }
    if let Some(url) = url.filter(|url| url.len() <= 2_048) {
        recommendation.insert("Url".to_owned(), url.into());
    }
    Some(json!({ "Recommendation": recommendation }))
}

/// The first link; they are built here or come from the operator.
fn source_url(n: &Notification) -> Option<Value> {
    let link = n.links.iter().find(|link| link.href.starts_with("https://") && link.href.len() <= 2_048)?;
    Some(link.href.as_str().into())
}

/// The call, in Security Hub's words.
fn action(n: &Notification) -> Option<Value> {
    let event = &n.event;
    let service = event.source.strip_prefix("aws.").filter(|_| !event.name.contains(' ') && !event.name.is_empty())?;
    let mut call = json!({
        "Api": text(&event.name, 128),
        "ServiceName": text(&format!("{service}.amazonaws.com"), 128),
        "FirstSeen": time(event.time),
        "LastSeen": time(event.time),
    });
    match event.actor.ip.as_deref() {
        Some(ip) if ip.parse::<Ipv4Addr>().is_ok() => {
            call["CallerType"] = "remoteIp".into();
            call["RemoteIpDetails"] = json!({ "IpAddressV4": ip });
        }
        Some(domain) if !domain.trim().is_empty() && !domain.contains(':') => {
            call["CallerType"] = "domain".into();
            call["DomainDetails"] = json!({ "Domain": text(domain, 128) });
        }
        _ => {}
    }
    Some(json!({ "ActionType": "AWS_API_CALL", "AwsApiCallAction": call }))
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Security Hub takes no text that is only white space.
fn text(text: &str, max: usize) -> Value {
    let text = fit(text, max);
    if text.trim().is_empty() { "-".into() } else { text.into() }
}

/// Most maps of the format have at most so many entries.
const FIELDS_MAX: usize = 50;
