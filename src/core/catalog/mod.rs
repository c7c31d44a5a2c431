//! The events we know by name, and a real-shaped one of each: what a rule's tests start from.

mod fill;
mod kms;
mod others;

#[cfg(test)]
mod tests;

pub use fill::{Scene, envelope};

/// One event name, and what AWS writes for it.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// `eventName`, or the `detail-type` of an event that no trail records.
    pub name: &'static str,
    /// EventBridge's `source`.
    pub source: &'static str,
    pub form: Form,
    pub read_only: bool,
    names: Names,
    /// `requestParameters` of a success as JSON; the whole `detail` of an event that no trail records.
    request: &'static str,
    /// `responseElements`.
    response: &'static str,
    /// `additionalEventData`, if any.
    extra: &'static str,
    /// `serviceEventDetails`, if any.
    service: &'static str,
    /// Further members that `requestParameters` may have.
    more: &'static [&'static str],
}

/// Which family an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Somebody called an API; a trail recorded it.
    Call,
    /// AWS did it by itself; a trail recorded it.
    Service,
    /// No trail records it.
    Event,
}

/// What `resources` of the record hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Key,
    KeyAndAlias,
    TwoKeys,
    Empty,
    /// There is no such member.
    Nothing,
}

/// Every event name we know.
pub fn all() -> impl Iterator<Item = &'static Known> {
    kms::ROWS.iter().chain(others::ROWS)
}

/// The event of that very name. Names are case-sensitive, as AWS's are.
pub fn known(name: &str) -> Option<&'static Known> {
    all().find(|known| known.name == name)
}

impl Known {
    /// What the parameter of that name is in a request that succeeds; placeholders stand for what differs.
    pub fn sample(&self, parameter: &str) -> Option<serde_json::Value> {
        fill::json(self.request).get(parameter).cloned()
    }

    /// What stands in its `requestParameters` or may stand there; of an event that no trail records, in its `detail`.
    pub fn parameters(&self) -> Vec<String> {
        let written = fill::json(self.request);
        let written = written.as_object().map(|members| members.keys().cloned().collect::<Vec<_>>());
        let mut names = written.unwrap_or_default();
        names.extend(self.more.iter().map(|name| (*name).to_owned()));
        if self.source == "aws.kms" && self.form == Form::Call && !names.is_empty() {
            // Most calls take them.
            names.extend(["dryRun", "grantTokens"].map(str::to_owned));
        }
        names
    }
}

const fn call(source: &'static str, name: &'static str, read_only: bool) -> Known {
    Known {
        name,
        source,
        form: Form::Call,
        read_only,
        names: Names::Key,
        request: r#"{"keyId":"$ID"}"#,
        response: "null",
        extra: "",
        service: "",
        more: &[],
    }
}

const fn write(name: &'static str) -> Known {
    call("aws.kms", name, false)
}

const fn read(name: &'static str) -> Known {
    call("aws.kms", name, true)
}
