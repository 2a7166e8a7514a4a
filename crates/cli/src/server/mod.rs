//! A journal on another machine, through the console that shows it there (`midwatch serve`).
//!
//! What is read comes as events and summaries, so every command computes here what it would compute beside the file. What
//! is ordered goes to the console's own actions: it judges and posts, and the journal says who gave the order.

mod address;
mod client;
mod journal;
mod orders;
mod trouble;

use std::sync::Arc;

use midwatch_inspect::{gates_of, owner_of};
use midwatch_journal::Board;
use midwatch_observe::why::{Gate, Owner};
use midwatch_workflow::Timestamp;
use serde::Deserialize;

pub(crate) use self::address::{Address, AddressParser};
use self::client::Client;
pub(crate) use self::journal::ServedJournal;
pub(crate) use self::orders::PATIENCE_MAX;
pub(crate) use self::trouble::ServerError;

/// The version of the JSON interface that is spoken here; it stands in every address.
const API: u32 = 1;

/// A server that was found to be one.
pub(crate) struct Server {
    client: Arc<Client>,
    journal: ServedJournal,
    about: About,
}

/// What a server says of itself and of what lies beside its journal.
#[derive(Deserialize)]
pub(crate) struct About {
    /// Its version.
    pub(crate) midwatch: String,
    api: u32,
    pub(crate) is_read_only: bool,
    pub(crate) now: Timestamp,
    /// Who owns the journal, in the lease's words.
    #[serde(default)]
    pub(crate) owner: Option<String>,
    pub(crate) position: u64,
    #[serde(default)]
    pub(crate) letters: u64,
    #[serde(default)]
    pub(crate) oldest_letter: Option<Timestamp>,
    #[serde(default)]
    board: Option<Board>,
}

impl Server {
    /// Asks who is there.
    pub(crate) fn connect(address: &Address, token: Option<&str>) -> Result<Self, ServerError> {
        let client = Arc::new(Client::new(address.clone(), token)?);
        let about = client.about()?;
        Ok(Self { journal: ServedJournal::new(Arc::clone(&client)), client, about })
    }

    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    pub(crate) fn journal(&self) -> &ServedJournal {
        &self.journal
    }

    pub(crate) fn owner(&self) -> Owner {
        owner_of(self.about.owner.clone())
    }

    pub(crate) fn board(&self) -> Option<&Board> {
        self.about.board.as_ref()
    }

    pub(crate) fn gates(&self) -> Vec<Gate> {
        gates_of(self.about.board.clone())
    }
}
