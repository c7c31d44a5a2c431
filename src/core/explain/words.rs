//! Reasons in words, for people who ask why they were told, or why not.

use crate::core::decide::{NotTold, What};
use crate::core::hold::Gate;
use crate::core::incident::State;
use crate::core::notification::{Kind, Reason};
use crate::core::render::clean;

/// One line of an incident's history. `sinks_known`: whether the names of its sinks mean something to the reader.
pub fn entry(what: &What, sinks_known: bool) -> String {
    match what {
        What::Transition { to, severity, reason, by, why, .. } => {
            let hand = by.as_ref().map_or_else(String::new, |by| {
                format!(" by {}: {}", clean(by, 100), clean(why.as_deref().unwrap_or("no reason given"), 200))
            });
            let state = match to {
                State::Open => format!("is open ({})", severity.as_str()),
                State::Acknowledged => "is acknowledged".to_owned(),
                State::Resolved => "is resolved".to_owned(),
            };
            format!("the incident {state}{hand}: {}", reason_of_change(*reason))
        }
        What::Told { sinks, kind, reason, remarks } => {
            let whom = if sinks_known { sinks.join(", ") } else { "whoever your routes name".to_owned() };
            let told = format!("{} to {whom}: {}", kind_in_words(*kind), reason_of_telling(*reason));
            std::iter::once(told).chain(remarks.iter().map(|remark| clean(remark, 300))).collect::<Vec<_>>().join(" — ")
        }
        What::NotTold { reason, held: None | Some(Gate::Shadow { .. }) } => {
            format!("nobody is told: {}", not_told(*reason))
        }
        What::NotTold { reason, held: Some(gate) } => {
            format!("nobody is told: {} — {}", not_told(*reason), clean(&gate.to_string(), 300))
        }
    }
}

/// What kind of notification goes out.
pub fn kind_in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Trigger => "a page goes",
        Kind::Update => "an update goes",
        Kind::Resolve => "the end is told",
        Kind::Notice => "a note that pages nobody goes",
    }
}

fn reason_of_change(reason: Reason) -> &'static str {
    match reason {
        Reason::Opened => "the first alert of its kind",
        Reason::Reopened => "the danger is back soon after its end",
        Reason::Resolved => "an event, or KMS itself, says that the danger is past",
        Reason::OpenedAndResolved => "the danger was past when it was heard of",
        Reason::Notice => "its rule tells once and is never open",
        other => reason_of_telling(other),
    }
}

/// Why something is told.
pub fn reason_of_telling(reason: Reason) -> &'static str {
    match reason {
        Reason::Opened => "an incident opened",
        Reason::Reopened => "it opened again, soon after its end",
        Reason::Escalated => "its severity rose",
        Reason::NewDanger => "another rule of its family fired: a danger on top of the one that stood",
        Reason::Countdown => "the date it counts down to has come nearer",
        Reason::Downgraded => "the key is better off than before, and still cannot be used",
        Reason::NewActor => "somebody else takes part now",
        Reason::Repeat => "it is still open",
        Reason::Resolved => "the danger is past",
        Reason::Expired => "its time ran out without another alert",
        Reason::ResolvedByHand => "a person ended it",
        Reason::AcknowledgedByHand => "a person took it",
        Reason::OpenedAndResolved => "it was over when it was heard of",
        Reason::Notice => "its rule tells once",
        Reason::TooLate => "it was over before it could be told",
        Reason::RuleGone => "the rule is no longer there, or groups otherwise now",
        Reason::SelfReport => "kmswatch speaks of itself",
        Reason::Test => "it is a test",
    }
}

/// Why nobody is told.
pub fn not_told(reason: NotTold) -> &'static str {
    match reason {
        NotTold::NothingNew => {
            "it joins an open incident and changes nothing worth telling (no higher severity, no new actor)"
        }
        NotTold::NoRoute => {
            "no route takes it, and its severity is below high; critical and high ones would go to every sink"
        }
        NotTold::NeverTold => "no sink was told of the beginning, so none is told of the rest",
        NotTold::Outdated => "it is older than what is already known: the danger it speaks of is past",
        NotTold::Silenced => "a person's silence holds it back; if it is open when the silence ends, it is told then",
        NotTold::Inhibited => "an open incident holds it back; if it is open when that one ends, it is told then",
        NotTold::Shadow => "its rule is on trial (shadow mode); all is recorded",
        NotTold::SameFact => "another event told the same fact already, so this one adds nothing",
    }
}
