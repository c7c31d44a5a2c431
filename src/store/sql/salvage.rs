//! Situations that do not read back: a bug, a bad disk, or a hand in the file. They must not cost their keys a page, so they are made
//! anew; what stood there is kept in the quarantine.

use sqlx::AnyConnection;

use super::rows::{from_json, ms, text};
use crate::core::decide::{Decision, Snapshot};
use crate::core::incident::{Fingerprint, Incident, Situation};
use crate::store::{StoreError, kept_at};

/// In the quarantine's `reason`.
const REASON: &str = "situation_does_not_read_back";

const INCIDENTS_OF: &str = "SELECT id, body FROM incidents WHERE fingerprint = $1";
const KEEP_ASIDE: &str = "INSERT INTO quarantine (id, at_ms, reason, body) \
     SELECT $1, $2, $3, CAST(body AS TEXT) FROM situations WHERE fingerprint = $4 ON CONFLICT (id) DO NOTHING";
/// Of one fingerprint only the newest incident is ever open.
const CLOSE_OTHERS: &str =
    "UPDATE incidents SET standing = 'resolved' WHERE fingerprint = $1 AND id <> $2 AND standing = 'open'";

/// Puts into the snapshot what can be made of a situation.
pub(super) async fn rebuild(
    on: &mut AnyConnection,
    snapshot: &mut Snapshot,
    fingerprint: Fingerprint,
) -> Result<(), StoreError> {
    let mut newest: (u32, Option<Incident>) = (0, None);
    for row in sqlx::query(INCIDENTS_OF).bind(fingerprint.0.as_str()).fetch_all(on).await? {
        let id = text(&row, "id")?;
        let incident = text(&row, "body").and_then(|body| from_json::<Incident>(&body, "an incident", &id)).ok();
        let episode = Incident::episode_of(&id).or(incident.as_ref().map(|incident| incident.episode)).unwrap_or(0);
        if episode >= newest.0 {
            newest = (episode, incident);
        }
    }
    let (episode, incident) = newest;
    if let Some(incident) = incident {
        snapshot.situations.insert(fingerprint.clone(), Situation::rebuilt(fingerprint.clone(), incident));
    }
    snapshot.unreadable.insert(fingerprint, episode);
    Ok(())
}

/// Before a decision replaces what does not read back.
pub(super) async fn keep_aside(
    on: &mut AnyConnection,
    snapshot: &Snapshot,
    decision: &Decision,
) -> Result<(), StoreError> {
    for situation in decision.situations.iter().filter(|s| snapshot.unreadable.contains_key(&s.fingerprint)) {
        let at = ms(kept_at(decision, situation));
        let fingerprint = situation.fingerprint.0.as_str();
        let query = sqlx::query(KEEP_ASIDE).bind(format!("situation {fingerprint} {at}")).bind(at).bind(REASON);
        query.bind(fingerprint).execute(&mut *on).await?;
        if let Some(incident) = &situation.incident {
            sqlx::query(CLOSE_OTHERS).bind(fingerprint).bind(incident.id.as_str()).execute(&mut *on).await?;
        }
    }
    Ok(())
}
