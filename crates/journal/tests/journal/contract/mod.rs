//! What every journal promises, run against each of them.

mod appending;
mod inbox;
mod listing;

use std::sync::Arc;

use midwatch_journal::Journal;
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::spool::SpooledJournal;
use midwatch_journal::sqlite::{Options, SqliteJournal};

/// A journal and whatever must live as long as it.
struct Store {
    journal: Arc<dyn Journal>,
    _folder: Option<tempfile::TempDir>,
}

fn memory() -> Store {
    Store { journal: Arc::new(MemoryJournal::new()), _folder: None }
}

fn sqlite() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path().join("journal.db"), Options::default()).unwrap();
    Store { journal: Arc::new(journal), _folder: Some(folder) }
}

fn spooled() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = Arc::new(SqliteJournal::open(&path, Options::default()).unwrap());
    Store { journal: Arc::new(SpooledJournal::over(journal, &path).unwrap()), _folder: Some(folder) }
}

/// Makes a test of each claim for each of these stores.
macro_rules! claims {
    (@ $make:ident { $($module:ident: $($claim:ident),+ $(,)?;)+ }) => {
        $($(#[test] fn $claim() { super::$module::$claim(&*super::$make().journal); })+)+
    };
    ($($store:ident: $make:ident),+ => $claims:tt) => {
        $(mod $store { claims! { @ $make $claims } })+
    };
}

// One behind a spool tells of a conflict with the run's next append: `spooled.rs`.
claims! { told_at_once_in_memory: memory, told_at_once_in_sqlite: sqlite => {
    appending: other_events_of_a_taken_number_are_a_conflict;
} }

claims! { in_memory: memory, in_sqlite: sqlite, behind_a_spool: spooled => {
    appending:
        events_come_back_in_order_as_they_were_written,
        events_after_a_number_leave_out_the_ones_before_it_even_inside_an_append,
        an_unknown_run_has_no_events_and_no_summary,
        a_second_run_under_a_workflow_id_is_told_of_the_first,
        a_workflow_id_is_taken_within_its_workflow_only,
        a_child_starts_under_a_taken_workflow_id,
        a_fork_starts_under_its_parents_workflow_id,
        a_child_does_not_take_its_workflow_id_from_others,
        a_start_repeated_at_another_time_by_another_process_changes_nothing,
        a_start_repeated_with_another_input_is_a_conflict,
        a_start_repeated_with_more_than_itself_is_a_conflict,
        the_same_append_twice_is_written_once,
        an_append_over_the_limit_is_refused_alone,
        a_refused_append_leaves_no_trace,
        a_summary_is_replaced_by_the_next_one,
        an_append_without_events_replaces_the_summary_alone,
        since_gives_rows_of_all_runs_in_the_order_of_their_writing,
        since_goes_on_where_it_stopped,
        many_threads_append_and_every_append_is_answered_once;
    listing:
        runs_come_in_the_order_asked_for,
        equal_runs_come_in_the_order_of_arrival,
        runs_are_filtered_by_every_field,
        statuses_named_twice_give_runs_once,
        a_text_finds_runs_by_both_ends_of_their_id_and_by_any_part_of_their_workflow_id,
        pages_by_skip_cover_everything_once,
        pages_by_cursor_cover_everything_once_whatever_is_alike,
        a_query_without_a_limit_gives_a_hundred,
        any_query_gives_what_its_definition_says;
    inbox:
        letters_come_in_the_order_of_posting,
        an_answered_letter_does_not_come_again,
        numbers_of_answered_letters_are_not_used_again;
} }
