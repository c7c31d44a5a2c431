//! A rule as it is written in TOML, and its compilation.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

use super::escalate::{self, EscalateSpec};
use super::template::{self, Templates};
use super::window::{self, AbsentSpec, NewValueSpec, SequenceSpec, ThresholdSpec};
use super::{Mode, Rule, Severity, shadow};
use crate::base::diagnostic::Problem;
use crate::base::moment::Moment;
use crate::base::period::Period;
use crate::core::event::FIELDS;
use crate::core::lint;
use crate::core::pattern::{Node, Pattern};
use crate::core::ruletest::TestSpec;

/// One `[[rule]]` table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// Unique name: lower-case letters, digits, `.`, `-` and `_`.
    #[schemars(with = "String")]
    pub id: Spanned<String>,
    /// What happened, in a few words; the headline of every card. May be a template, as `summary`, `meaning` and `action` may.
    #[schemars(with = "String")]
    pub title: Spanned<String>,
    /// How bad it is.
    pub severity: Severity,
    /// An EventBridge event pattern over the event document: what raises an alert.
    #[serde(rename = "match")]
    pub matches: Node,
    /// Permanent exemptions: an event that matches any of these patterns raises no alert.
    #[serde(default)]
    pub except: Vec<Node>,
    /// An event that matches this pattern ends the danger.
    pub resolve: Option<Node>,
    /// The danger ends this long after the newest alert.
    #[schemars(with = "Option<Period>")]
    pub resolve_after: Option<Spanned<Period>>,
    /// When a lookup made well after the event matches this pattern, KMS itself says that the danger is past.
    pub recovered: Option<Node>,
    /// An alert only if so many events of a group come close together.
    pub threshold: Option<ThresholdSpec>,
    /// An alert only if other events came before, in order.
    pub sequence: Option<SequenceSpec>,
    /// An alert only if an expected event does not follow.
    pub absent: Option<AbsentSpec>,
    /// An alert only if a value is new to the group.
    pub new_value: Option<NewValueSpec>,
    /// The path of a date in the event, such as `key.deletion_date`: the alert comes when a mark of `[countdown]` before that
    /// date passes, and again at each further one.
    #[schemars(with = "Option<String>")]
    pub countdown: Option<Spanned<String>>,
    /// When it is worse than `severity` says.
    #[serde(default)]
    pub escalate: Vec<EscalateSpec>,
    /// A happening, not a condition: told once, never open.
    #[serde(default)]
    #[schemars(with = "bool")]
    pub notice: Option<Spanned<bool>>,
    /// `shadow` records alerts and incidents and tells nobody: a rule on trial. `live` is the default.
    pub mode: Option<Mode>,
    /// With `mode = "shadow"`: from this date on the rule is live by itself; what is open then is told then.
    #[schemars(with = "Option<Moment>")]
    pub live_from: Option<Spanned<Moment>>,
    /// Rules that name the same incident family share one incident per group; it resolves when all have cleared.
    #[schemars(with = "Option<String>")]
    pub incident: Option<Spanned<String>>,
    /// Document paths whose values separate incidents.
    #[serde(default = "by_key")]
    #[schemars(with = "Vec<String>")]
    pub group_by: Vec<Spanned<String>>,
    /// While open, tell it again this often; without it the default of `[engine]` holds.
    #[schemars(with = "Option<Period>")]
    pub repeat: Option<Spanned<Period>>,
    /// Off means: as if the rule were not there.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Free labels such as `attack.T1489`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Link to what to do.
    #[schemars(with = "Option<String>")]
    pub runbook: Option<Spanned<String>>,
    /// Links to further reading.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub references: Vec<Spanned<String>>,
    /// Who looks after this rule.
    pub owner: Option<String>,
    /// One line on the event, in place of the built-in one.
    #[schemars(with = "Option<String>")]
    pub summary: Option<Spanned<String>>,
    /// What it means for people, in a sentence or two.
    #[schemars(with = "Option<String>")]
    pub meaning: Option<Spanned<String>>,
    /// What to do now, in a sentence or two.
    #[schemars(with = "Option<String>")]
    pub action: Option<Spanned<String>>,
    /// When this fires although nothing is wrong.
    pub false_positives: Option<String>,
    /// Tests of this rule: `[[rule.test]]`, run by `kmswatch test`.
    #[serde(default)]
    pub test: Vec<TestSpec>,
}

fn by_key() -> Vec<Spanned<String>> {
    vec![Spanned::new(0..0, "key.arn".to_owned())]
}

fn yes() -> bool {
    true
}

/// Shortest repeat interval: more often is a storm, not a reminder.
const REPEAT_MIN: Period = Period::from_secs(300);

/// Compiles one rule; reports everything that is wrong with it, each at its place.
///
/// # Errors
/// All problems found.
pub fn compile(spec: &RuleSpec) -> Result<Rule, Vec<Problem>> {
    compile_as(spec, true)
}

/// [`compile`] without trying the templates: for the built-in pack, whose templates our tests have tried.
///
/// # Errors
/// All problems found.
pub fn compile_proven(spec: &RuleSpec) -> Result<Rule, Vec<Problem>> {
    compile_as(spec, false)
}

fn compile_as(spec: &RuleSpec, on_trial: bool) -> Result<Rule, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut compiled = |node: &Node| pattern(node, &mut problems);
    let matches = compiled(&spec.matches);
    let except: Vec<_> = spec.except.iter().filter_map(&mut compiled).collect();
    let resolve = spec.resolve.as_ref().and_then(&mut compiled);
    let recovered = spec.recovered.as_ref().and_then(&mut compiled);
    let notice = spec.notice.as_ref().is_some_and(|n| *n.get_ref());
    check_words(spec, &mut problems);
    check_end(spec, notice, &mut problems);
    let shadow = shadow::compile(spec, &mut problems);
    for path in &spec.group_by {
        check_path(path, &mut problems);
    }
    let written = window::Written {
        id: &spec.id,
        threshold: spec.threshold.as_ref(),
        sequence: spec.sequence.as_ref(),
        absent: spec.absent.as_ref(),
        new_value: spec.new_value.as_ref(),
    };
    let window = window::compile(&written, &mut problems);
    check_countdown(spec, window.is_some(), notice, &mut problems);
    let escalations =
        spec.escalate.iter().filter_map(|one| escalate::compile(one, spec.severity, &mut problems)).collect();
    let texts = [Some(&spec.title), spec.summary.as_ref(), spec.meaning.as_ref(), spec.action.as_ref()];
    let templates = Templates::compile(texts, on_trial.then_some(&spec.matches), &mut problems);
    for link in &spec.references {
        check_link(link, "a reference", &mut problems);
    }
    let Some(matches) = matches.filter(|_| problems.is_empty()) else { return Err(problems) };
    Ok(Rule {
        id: spec.id.get_ref().clone(),
        title: template::plain(spec.title.get_ref()),
        severity: spec.severity,
        window,
        countdown: spec.countdown.as_ref().map(|path| path.get_ref().clone()),
        escalations,
        templates,
        matches,
        except,
        resolve,
        resolve_source: spec.resolve.as_ref().and_then(|node| Some(node.opened().ok()?.to_json())),
        resolve_after: spec.resolve_after.as_ref().map(|p| p.get_ref().signed()),
        recovered,
        notice,
        shadow,
        family: spec.incident.as_ref().unwrap_or(&spec.id).get_ref().clone(),
        group_by: spec.group_by.iter().map(|p| p.get_ref().clone()).collect(),
        repeat: spec.repeat.as_ref().map(|p| p.get_ref().signed()),
        tags: spec.tags.clone(),
        runbook: spec.runbook.as_ref().map(|r| r.get_ref().clone()),
        summary: plain(spec.summary.as_ref()),
        meaning: plain(spec.meaning.as_ref()),
        action: plain(spec.action.as_ref()),
        references: spec.references.iter().map(|link| link.get_ref().clone()).collect(),
        owner: spec.owner.clone(),
        needs_full: lint::needs_full(&spec.matches),
    })
}

/// Compiles a pattern; `problems` names what is wrong with it.
pub(super) fn pattern(node: &Node, problems: &mut Vec<Problem>) -> Option<Pattern> {
    Pattern::compile(node).map_err(|errors| problems.extend(errors.into_iter().map(Problem::from))).ok()
}

/// A text without values of an event; of a template, nothing: half a sentence helps nobody.
fn plain(text: Option<&Spanned<String>>) -> Option<String> {
    text.map(Spanned::get_ref).filter(|text| !template::is_template(text)).cloned()
}

fn check_link(link: &Spanned<String>, what: &str, problems: &mut Vec<Problem>) {
    if !(link.get_ref().starts_with("https://") || link.get_ref().starts_with("http://")) {
        problems.push(
            Problem::error(link.span(), format!("{what} is a link that starts with https://"))
                .hint("put prose into `action`"),
        );
    }
}

fn check_words(spec: &RuleSpec, problems: &mut Vec<Problem>) {
    let word = |text: &str| {
        !text.is_empty()
            && text.len() <= 100
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    for name in std::iter::once(&spec.id).chain(&spec.incident) {
        if !word(name.get_ref()) {
            problems.push(
                Problem::error(
                    name.span(),
                    format!("`{}` is no name for a rule or an incident family", name.get_ref()),
                )
                .hint("use 1 to 100 lower-case letters, digits, `.`, `-` and `_`"),
            );
        }
    }
    if spec.id.get_ref().starts_with("kmswatch.") {
        problems.push(
            Problem::error(
                spec.id.span(),
                "ids that start with `kmswatch.` are kept for reports about kmswatch itself",
            )
            .hint("choose another prefix, such as your team's name"),
        );
    }
    let title = spec.title.get_ref().trim();
    let most = if template::is_template(title) { 500 } else { 120 };
    if title.is_empty() || title.chars().count() > most {
        problems.push(
            Problem::error(spec.title.span(), "a title has 1 to 120 characters")
                .hint("say what happened in a few words: \"KMS key disabled\""),
        );
    }
    if let Some(runbook) = &spec.runbook {
        check_link(runbook, "a runbook", problems);
    }
    if let Some(repeat) = &spec.repeat
        && *repeat.get_ref() < REPEAT_MIN
    {
        problems.push(
            Problem::error(repeat.span(), format!("repeats every {} would be a storm", repeat.get_ref()))
                .hint(format!("repeat every {REPEAT_MIN} at the most")),
        );
    }
}

fn check_end(spec: &RuleSpec, notice: bool, problems: &mut Vec<Problem>) {
    let ends = spec.resolve.is_some() || spec.resolve_after.is_some() || spec.absent.is_some();
    if !ends && !notice {
        problems.push(
            Problem::error(spec.id.span(), format!("the incidents of rule `{}` would never end", spec.id.get_ref()))
                .hint("give it a `resolve` pattern, a `resolve_after` time, or `notice = true` if it is told once and never open"),
        );
    }
    if notice {
        let place = spec.notice.as_ref().map_or(0..0, Spanned::span);
        if ends {
            problems.push(
                Problem::error(place.clone(), "a notice is never open, so nothing can resolve it")
                    .hint("remove `resolve` and `resolve_after`, or remove `notice`"),
            );
        }
        if spec.incident.is_some() {
            problems.push(
                Problem::error(place, "a notice cannot be part of an incident family")
                    .hint("remove `incident`, or remove `notice`"),
            );
        }
    }
    if let Some(after) = &spec.resolve_after
        && after.get_ref().signed().is_zero()
    {
        problems.push(
            Problem::error(after.span(), "an incident that ends at once is a notice")
                .hint("write `notice = true` instead"),
        );
    }
}

fn check_countdown(spec: &RuleSpec, window: bool, notice: bool, problems: &mut Vec<Problem>) {
    let Some(path) = &spec.countdown else { return };
    check_path(path, problems);
    if window || notice {
        problems.push(
            Problem::error(
                path.span(),
                "`countdown` does not go with `threshold`, `sequence`, `absent`, `new_value` or `notice`",
            )
            .hint("make a rule of its own of it; both may name the same incident family"),
        );
    }
}

/// Reports a path that leads to no field of the event document.
pub(super) fn check_path(path: &Spanned<String>, problems: &mut Vec<Problem>) {
    let text = path.get_ref();
    let first = text.split('.').next().unwrap_or_default();
    let known = FIELDS.iter().any(|field| field.name == text)
        || text.starts_with("key.tags.")
        || text.starts_with("key.labels.")
        || ["account", "region", "source", "detail-type"].contains(&text.as_str())
        || first == "detail";
    if !known {
        problems
            .push(Problem::error(path.span(), format!("`{text}` is not a field of the event document")).hint(
                "use a field such as `key.arn`, `actor.principal`, `account`, `region`, or a path into `detail`",
            ));
    }
}
