//! The checks of a journal on another machine: as much as a server can tell of it.

use std::time::Duration;

use midwatch_workflow::Timestamp;

use super::{Finding, Level, fail, inbox, ok, open_runs, owned, parked_runs, warn};
use crate::config::{Global, clock};
use crate::error::Exit;
use crate::output::{Out, time};
use crate::server::{Address, Server};

/// Clocks that differ by more make ages and waits hard to read.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5);

/// Checks a server and what its journal says.
pub(super) fn check(address: &Address, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
    let server = match Server::connect(address, global.token()?.as_deref()) {
        Ok(server) => server,
        Err(error) => {
            let next = error.hints();
            super::tell(&fail("server", error.to_string(), next.first().map(String::as_str)), out)?;
            return Ok(Exit::Journal);
        }
    };
    let about = server.about();
    let (owner, journal) = (about.owner.as_deref(), server.journal());
    let letters = Ok((about.letters, about.oldest_letter));
    let findings = [
        ok("server", format!("{address} is midwatch {}", about.midwatch)),
        orders(about.is_read_only),
        clocks(about.now, clock()),
        open_runs(journal, owner),
        parked_runs(journal),
        inbox(letters, owner, about.now),
        owned(owner),
    ];
    let mut exit = Exit::Done;
    for finding in findings {
        if finding.level == Level::Fail {
            exit = Exit::Journal;
        }
        super::tell(&finding, out)?;
    }
    Ok(exit)
}

fn orders(is_read_only: bool) -> Finding {
    match is_read_only {
        false => ok("orders", "it takes orders".to_owned()),
        true => warn(
            "orders",
            "it takes none: it was started with --read-only".to_owned(),
            "give orders on the machine of the journal",
        ),
    }
}

fn clocks(theirs: Timestamp, ours: Timestamp) -> Finding {
    let apart = theirs.since(ours).max(ours.since(theirs));
    match apart {
        apart if apart <= CLOCKS_APART_MAX => ok("clocks", "its clock and this one agree".to_owned()),
        apart => warn(
            "clocks",
            format!("its clock and this one are {} apart; ages are counted by its own", time::span(apart)),
            "set both by a time server",
        ),
    }
}
