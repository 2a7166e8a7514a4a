//! Where a command looks: into the journal's file, or at a server that shows it. What it says is the same.

use midwatch_inspect::{Inspector, gates, owner};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Board, Journal};
use midwatch_observe::why::Owner;
use midwatch_workflow::Timestamp;
use midwatch_workflow::gate::GateView;

use crate::config::{Global, clock};
use crate::server::Server;

/// A journal, wherever it is.
pub(crate) struct Source {
    place: Place,
    name: String,
    now: Timestamp,
}

enum Place {
    File(SqliteJournal),
    Server(Server),
}

impl Source {
    /// Opens the journal for reading and for orders.
    ///
    /// # Errors
    /// Those of a journal, or a [`ServerError`](crate::server::ServerError).
    pub(crate) fn open(global: &Global) -> anyhow::Result<Self> {
        let place = match &global.server {
            Some(address) => Place::Server(Server::connect(address, global.token()?.as_deref())?),
            None => Place::File(SqliteJournal::open_reader(&global.db)?),
        };
        let name = global.place();
        let now = global.now.map(|moment| moment.0);
        // Ages on a server are counted by its own clock.
        let now = now.unwrap_or_else(|| match &place {
            Place::File(_) => clock(),
            Place::Server(server) => server.about().now,
        });
        Ok(Self { place, name, now })
    }

    /// The journal. Only what reads it works on every one.
    pub(crate) fn journal(&self) -> &dyn Journal {
        match &self.place {
            Place::File(journal) => journal,
            Place::Server(server) => server.journal(),
        }
    }

    /// The server, if it is one.
    pub(crate) fn server(&self) -> Option<&Server> {
        match &self.place {
            Place::File(_) => None,
            Place::Server(server) => Some(server),
        }
    }

    /// The file or the server, as messages name it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The time that ages are counted to.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Who owns the journal.
    pub(crate) fn owner(&self) -> Owner {
        match &self.place {
            Place::File(journal) => owner(journal.path()),
            Place::Server(server) => server.owner(),
        }
    }

    /// Asks why runs are as they are.
    pub(crate) fn inspector(&self) -> Inspector<'_> {
        let gates = match &self.place {
            Place::File(journal) => gates(journal.path()),
            Place::Server(server) => server.gates(),
        };
        Inspector::new(self.journal(), self.now, self.owner()).with_gates(gates)
    }

    /// How the gate of a target stands in the process that owns the journal.
    pub(crate) fn gate(&self, target: &str) -> Option<GateView> {
        match &self.place {
            Place::File(journal) => Board::read(journal.path()).ok()??.gate(target).cloned(),
            Place::Server(server) => server.board()?.gate(target).cloned(),
        }
    }

    /// The last position in commit order.
    pub(crate) fn position(&self) -> Result<u64, midwatch_journal::Error> {
        match &self.place {
            Place::File(journal) => journal.position(),
            Place::Server(server) => Ok(server.about().position),
        }
    }
}
