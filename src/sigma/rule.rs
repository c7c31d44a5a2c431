//! One Sigma rule as rules of ours, in TOML.

use std::fmt::Write as _;

use super::cases::{self, Fields, Patterns};
use super::detection::{self, Detection, Formula};
use super::item::Item;
use super::lower::{Effect, Low, Note, lower};
use super::names::Path;
use super::threshold::{self, Threshold};
use super::write;
use super::yaml::{Fault, Kind, Yaml, shortened};
use crate::core::lint::names;
use crate::core::rule::{RuleFile, Severity, compile};

/// Most characters of a title and of an id that come from a Sigma title.
const TITLE_MAX: usize = 120;
const SLUG_MAX: usize = 70;

/// What a Sigma rule says about itself.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    pub(super) line: usize,
    pub(super) title: String,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) severity: Severity,
    told_level: bool,
    description: Option<String>,
    references: Vec<String>,
    false_positives: Vec<String>,
    tags: Vec<String>,
    /// Author, dates, status and licence: kept as comments.
    origin: Vec<(&'static str, String)>,
}

/// A Sigma rule whose detection was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) meta: Meta,
    pub(super) formula: Formula,
    pub(super) threshold: Option<Threshold>,
    pub(super) notes: Vec<Note>,
}

/// Where rules go and how they end.
#[derive(Debug, Clone)]
pub struct Options {
    /// What ids start with, such as `sigma.`.
    pub prefix: String,
    /// After which time incidents end by themselves, as a rule's `resolve_after` says it.
    pub resolve_after: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { prefix: "sigma.".into(), resolve_after: "24h".into() }
    }
}

impl Meta {
    pub(super) fn read(document: &Yaml) -> Self {
        let text = |name: &str| document.get(name).and_then(Yaml::text).map(|text| one_line(&text));
        let texts = |name: &str| -> Vec<String> {
            let items = document.get(name).map(Yaml::items).unwrap_or_default();
            items.iter().filter_map(Yaml::text).map(|text| one_line(&text)).filter(|text| !text.is_empty()).collect()
        };
        let severity = match text("level").as_deref() {
            Some("informational") => Some(Severity::Info),
            Some("low") => Some(Severity::Low),
            Some("medium") => Some(Severity::Medium),
            Some("high") => Some(Severity::High),
            Some("critical") => Some(Severity::Critical),
            _ => None,
        };
        let (links, other): (Vec<String>, Vec<String>) = texts("references")
            .into_iter()
            .partition(|text| text.starts_with("https://") || text.starts_with("http://"));
        let known = ["author", "date", "modified", "status", "license"]
            .into_iter()
            .filter_map(|name| text(name).map(|text| (name, text)));
        let origin = known.chain(other.into_iter().map(|text| ("reference", text))).collect();
        Self {
            line: document.line,
            title: text("title").filter(|title| !title.is_empty()).unwrap_or_else(|| "Imported rule".into()),
            id: text("id"),
            name: text("name"),
            severity: severity.unwrap_or(Severity::Medium),
            told_level: severity.is_some(),
            description: text("description").filter(|text| !text.is_empty()),
            references: links,
            false_positives: texts("falsepositives"),
            tags: texts("tags").iter().map(|tag| technique(tag)).collect(),
            origin,
        }
    }

    /// Whether a correlation means this rule by that word.
    pub(super) fn is_called(&self, word: &str) -> bool {
        self.id.as_deref() == Some(word) || self.name.as_deref() == Some(word)
    }
}

/// Reads a Sigma rule for `CloudTrail`.
pub(super) fn read(document: &Yaml) -> Result<Read, Fault> {
    check_source(document)?;
    let detection = document.get("detection").ok_or_else(|| Fault::at(document.line, "the rule has no `detection`"))?;
    if !matches!(detection.kind, Kind::Map(_)) {
        return Err(Fault::at(detection.line, "`detection` is a map of search identifiers"));
    }
    let meta = Meta::read(document);
    let Detection { formula, aggregation, timeframe, strangers } = detection::read(detection)?;
    let mut notes = vec![];
    for field in strangers {
        let text =
            format!("`{field}` is no member of CloudTrail's record that kmswatch knows; it is taken as it stands");
        notes.push(Note { effect: Effect::Remark, line: detection.line, text });
    }
    let threshold = match &aggregation {
        Some((line, text)) => threshold::old_style(text, timeframe.as_deref(), *line, &mut notes),
        None => None,
    };
    Ok(Read { meta, formula, threshold, notes })
}

/// Only `CloudTrail`'s events come here.
fn check_source(document: &Yaml) -> Result<(), Fault> {
    let Some(source) = document.get("logsource") else {
        return Err(Fault::at(
            document.line,
            "the rule names no `logsource`; it must be `product: aws`, `service: cloudtrail`",
        ));
    };
    let word = |name: &str| source.get(name).and_then(Yaml::text);
    let (product, service) = (word("product"), word("service"));
    if product.as_deref() == Some("aws") && service.as_deref() == Some("cloudtrail") {
        return Ok(());
    }
    let named: Vec<String> =
        [product, service, word("category")].into_iter().flatten().map(|w| shortened(&w)).collect();
    let named = if named.is_empty() { "nothing".to_owned() } else { named.join("/") };
    Err(Fault::at(source.line, format!("its logsource is {named}; kmswatch sees the events of aws/cloudtrail only")))
}

/// Writes one Sigma rule. Answers the TOML, how many rules it holds, and what to know about it.
pub(super) fn write(
    read: &Read,
    id: &str,
    place: &str,
    options: &Options,
) -> Result<(String, usize, Vec<Note>), Fault> {
    let Read { meta, formula, threshold, notes } = read;
    let mut notes = notes.clone();
    let low = lower(formula, &mut notes);
    if matches!(low, Low::True | Low::False) {
        let why =
            notes.iter().find(|note| note.effect == Effect::Wider).map_or("it matches nothing", |note| &note.text);
        return Err(Fault::at(meta.line, format!("nothing of its condition can be carried over ({why})")));
    }
    let at = |message| Fault::at(meta.line, message);
    let rules = cases::patterns(&low, meta.line, &mut notes).map_err(at)?;
    if asks_nothing(&rules) && notes.iter().any(|note| note.effect == Effect::Wider) {
        return Err(at("what is left of its condition would match every event".into()));
    }
    let mut failed = String::new();
    for rules in [rules.clone(), cases::apart(&rules)] {
        let mut notes = notes.clone();
        remarks(meta, threshold.as_ref(), &rules, &mut notes);
        let text = text(meta, threshold.as_ref(), &rules, id, place, options, &notes);
        match check(&text) {
            Ok(()) => return Ok((text, rules.len(), notes)),
            Err(message) => failed = message,
        }
    }
    Err(at(format!("kmswatch's patterns cannot say it: {failed}")))
}

/// Whether some rule would match whatever comes.
fn asks_nothing(rules: &[Patterns]) -> bool {
    let everything = Fields::from([(Path::of("eventSource"), vec![Item::Present])]);
    rules.iter().any(|rule| rule.or.is_empty() && rule.common == everything)
}

/// Whether what was written loads.
fn check(text: &str) -> Result<(), String> {
    let file: RuleFile = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    for spec in &file.rule {
        compile(spec)
            .map_err(|problems| problems.first().map_or_else(String::new, |problem| problem.message.clone()))?;
    }
    Ok(())
}

/// What is good to know, although the rule matches the same.
fn remarks(meta: &Meta, threshold: Option<&Threshold>, rules: &[Patterns], notes: &mut Vec<Note>) {
    let mut remark = |text: String| notes.push(Note { effect: Effect::Remark, line: meta.line, text });
    if !meta.told_level {
        remark("it names no level that is known; `medium` was chosen".into());
    }
    if meta.title.chars().count() > TITLE_MAX {
        remark(format!("its title was cut after {TITLE_MAX} characters"));
    }
    let tells_outcome =
        |fields: &Fields| fields.keys().any(|path| matches!(path.member().as_str(), "errorCode" | "errorMessage"));
    if !rules.iter().any(|rule| tells_outcome(&rule.common) || rule.or.iter().chain(&rule.except).any(tells_outcome)) {
        remark(
            "denied and failed calls match too, as in the original; `outcome = [\"success\"]` leaves them out".into(),
        );
    }
    if rules.len() > 1 {
        remark(format!("it took {} rules, which share one incident", rules.len()));
        if threshold.is_some() {
            let text = "its parts are counted each by itself".to_owned();
            notes.push(Note { effect: Effect::Narrower, line: meta.line, text });
        }
    }
}

fn text(
    meta: &Meta,
    threshold: Option<&Threshold>,
    rules: &[Patterns],
    id: &str,
    place: &str,
    options: &Options,
    notes: &[Note],
) -> String {
    let mut text = write::comment(&format!("From the Sigma rule \"{}\", {place}.", meta.title));
    let id_line = meta.id.iter().map(|id| ("id", id));
    for (name, value) in id_line.chain(meta.origin.iter().map(|(name, value)| (*name, value))) {
        text.push_str(&write::comment(&format!("Sigma {name}: {value}")));
    }
    for note in notes {
        text.push_str(&write::comment(&format!("{}: {} (line {})", note.effect.as_str(), note.text, note.line)));
    }
    for (number, patterns) in rules.iter().enumerate() {
        let own = if number == 0 { id.to_owned() } else { format!("{id}.{}", number + 1) };
        if number > 0 {
            text.push('\n');
        }
        let mut line = |name: &str, value: &str| {
            text.push_str(name);
            text.push_str(" = ");
            text.push_str(value);
            text.push('\n');
        };
        line("[[rule]]\nid", &write::string(&own));
        line("title", &write::string(&cut(&meta.title, TITLE_MAX)));
        line("severity", &write::string(meta.severity.as_str()));
        text.push_str(&write::patterns(patterns));
        text.push_str(&end(meta, threshold, rules.len() > 1, id, options));
        let group_by = match threshold {
            Some(threshold) => threshold.by.iter().map(ToString::to_string).collect(),
            None if of_kms(patterns) => vec!["key.arn".to_owned()],
            None => vec!["actor.principal".to_owned()],
        };
        text.push_str(&write::strings("group_by", &group_by));
        if !meta.tags.is_empty() {
            text.push_str(&write::strings("tags", &meta.tags));
        }
        if !meta.references.is_empty() {
            text.push_str(&write::strings("references", &meta.references));
        }
        let said = [("meaning", meta.description.clone()), ("false_positives", joined(&meta.false_positives))];
        for (name, value) in said {
            if let Some(value) = value {
                text.push_str(&write::line(name, &value));
            }
        }
    }
    text
}

/// How incidents of the rule end, what is counted, and whether its parts share an incident.
fn end(meta: &Meta, threshold: Option<&Threshold>, parts: bool, id: &str, options: &Options) -> String {
    let mut text = String::new();
    if let Some(threshold) = threshold {
        text.push_str(&threshold.toml());
    }
    // What is only for information is told once. A count, or a rule of several parts, needs an incident to join.
    if meta.severity == Severity::Info && threshold.is_none() && !parts {
        text.push_str("notice = true\n");
    } else {
        text.push_str(&write::line("resolve_after", &options.resolve_after));
    }
    if parts {
        text.push_str(&write::line("incident", id));
    }
    text
}

/// Whether the rule is about KMS keys: every alternative names KMS, or calls of KMS.
fn of_kms(patterns: &Patterns) -> bool {
    let texts = |fields: &Fields, name: &str| -> Option<Vec<String>> {
        let items = fields.get(&Path::of(name))?;
        items.iter().map(|item| if let Item::Text(text) = item { Some(text.clone()) } else { None }).collect()
    };
    let of = |fields: &Fields| match texts(fields, "eventSource") {
        Some(sources) => sources.iter().all(|source| source == "kms.amazonaws.com"),
        None => texts(fields, "eventName")
            .is_some_and(|names| names.iter().all(|name| names::source_of(name) == Some("aws.kms"))),
    };
    of(&patterns.common) || (!patterns.or.is_empty() && patterns.or.iter().all(of))
}

/// The id of a rule made from its title.
pub(super) fn slug(prefix: &str, title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= SLUG_MAX {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    format!("{prefix}{}", if slug.is_empty() { "rule" } else { slug })
}

/// `attack.t1485` is a technique, which people write with a capital T.
fn technique(tag: &str) -> String {
    match tag.strip_prefix("attack.t") {
        Some(number) if number.starts_with(|c: char| c.is_ascii_digit()) => format!("attack.T{number}"),
        _ => tag.to_owned(),
    }
}

fn joined(texts: &[String]) -> Option<String> {
    let known: Vec<&str> =
        texts.iter().map(String::as_str).filter(|text| !text.eq_ignore_ascii_case("unknown")).collect();
    (!known.is_empty()).then(|| known.join("; "))
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most - 1).collect();
    cut.push('…');
    cut
}

/// Text on one line, without control characters and without what would make a template of it.
fn one_line(text: &str) -> String {
    let text = ["{", "%", "#"]
        .iter()
        .fold(text.to_owned(), |text, mark| text.replace(&format!("{{{mark}"), &format!("{{ {mark}")));
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

impl Threshold {
    fn toml(&self) -> String {
        let mut text = format!("threshold = {{ count = {}, within = {}", self.count, write::string(&self.within));
        if let Some(path) = &self.distinct
            && write!(text, ", distinct = {}", write::string(&path.to_string())).is_err()
        {
            text.clear();
        }
        text + " }\n"
    }
}
