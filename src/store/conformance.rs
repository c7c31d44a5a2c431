//! One suite for every store: what the trait promises. A new backend is one more line in `stores!`.

mod canaries;
mod deciding;
mod delivering;
pub(super) mod fixture;
mod keeping;
mod silencing;

use std::sync::Arc;

use super::{Store, memory, sqlite};

/// A store to try, and the folder that goes away with it.
struct Subject {
    store: Arc<dyn Store>,
    _folder: Option<tempfile::TempDir>,
}

async fn in_memory() -> Subject {
    Subject { store: Arc::new(memory::MemoryStore::new(&memory::Config::default())), _folder: None }
}

async fn in_a_file() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let config = sqlite::Config { path: folder.path().join("state.db") };
    Subject { store: Arc::new(sqlite::open(&config).await.unwrap()), _folder: Some(folder) }
}

macro_rules! stores {
    ($($store:ident: $open:ident;)+) => { $(mod $store { use super::$open as open; super::suite!(); })+ };
}

macro_rules! suite {
    () => {
        suite! {
            deciding:
                what_is_stored_is_read_back,
                what_is_known_of_keys_and_dates_is_kept,
                a_read_set_reads_what_it_names_and_no_more,
                an_event_is_seen_once,
                an_empty_decision_changes_nothing,
                timers_come_earliest_first_and_only_when_due,
                a_notification_is_in_the_outbox_once_per_sink,
                appliers_at_the_same_time_lose_no_update,
                a_long_decision_is_stored_whole;
            delivering:
                urgent_ones_come_first_then_older_ones,
                only_the_oldest_of_a_fingerprint_is_leased,
                a_later_incident_of_the_fingerprint_waits_too,
                sinks_do_not_hold_each_other,
                no_more_are_leased_than_wanted,
                a_lease_runs_out_as_an_attempt_of_unknown_outcome,
                a_retry_waits_for_its_time,
                a_parked_one_stays_parked_until_it_is_done,
                a_released_one_was_not_tried,
                a_finished_one_stays_finished,
                what_the_sink_remembers_comes_back,
                a_dead_trigger_cancels_what_waits_behind_it,
                a_dead_trigger_does_not_cancel_the_next_one,
                a_dead_update_cancels_nothing,
                a_resolve_that_comes_after_its_trigger_died_is_cancelled,
                a_trigger_whose_resolve_waits_is_overtaken,
                a_tried_trigger_is_not_overtaken,
                a_note_whose_outcome_is_unknown_is_the_same_note_again,
                many_ends_are_settled_together,
                unknown_ids_are_left_alone;
            keeping:
                incidents_are_listed_newest_first,
                a_story_is_found_by_the_beginning_of_its_id,
                open_situations_come_in_pages,
                the_outbox_is_counted_by_sink,
                what_is_unfinished_is_read_page_by_page,
                what_is_known_of_keys_is_joined_without_labels,
                whoever_learns_of_a_key_at_the_same_time_adds_to_it,
                policies_are_learnt_in_any_order,
                rotation_periods_are_learnt_beside_policies,
                the_use_of_keys_is_kept_in_pages,
                a_message_is_quarantined_once,
                a_full_quarantine_keeps_what_it_has,
                old_events_are_forgotten_and_young_ones_kept,
                old_markers_are_forgotten,
                what_was_learnt_outlives_the_rest,
                resolved_incidents_are_forgotten_with_all_they_left,
                an_incident_is_kept_as_long_as_its_deliveries,
                a_resolved_incident_waits_for_its_parked_delivery,
                open_incidents_are_never_forgotten,
                a_long_story_keeps_its_beginning_and_its_end,
                forgetting_is_done_in_bounded_steps,
                deliveries_of_a_removed_sink_are_dead,
                a_probe_answers;
            silencing:
                a_silence_is_kept_and_ends,
                whoever_ended_a_silence_has_the_last_word,
                ended_silences_are_forgotten,
                held_situations_come_in_pages,
                situations_are_read_by_name;
            canaries:
                a_call_is_kept_as_it_was_kept_last,
                of_each_canary_the_newest_calls_are_kept,
                old_calls_are_forgotten;
        }
    };
    ($($part:ident: $($name:ident),+;)+) => { $($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let subject = open().await;
            crate::store::conformance::$part::$name(&subject.store).await;
            subject.store.close().await;
        }
    )+)+ };
}
use suite;

stores! {
    ram: in_memory;
    file: in_a_file;
}
