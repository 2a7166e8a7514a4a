//! Looking for damage in a file that nobody has complained about yet.

use super::SqliteJournal;
use crate::Error;

/// So many findings are told; a file with more is no better known by them.
const FINDINGS_MAX: u32 = 20;

impl SqliteJournal {
    /// Reads every page and says what is damaged; nothing if the file is sound. Takes time in proportion to the file.
    ///
    /// # Errors
    /// If the file is so damaged that it cannot even be looked through, and those of any reading.
    pub fn damage(&self) -> Result<Vec<String>, Error> {
        self.readers.ask(|connection| {
            let mut statement = connection.prepare(&format!("PRAGMA quick_check({FINDINGS_MAX})"))?;
            let findings = statement.query_map([], |row| row.get::<_, String>(0))?;
            findings.filter(|finding| finding.as_deref() != Ok("ok")).collect()
        })
    }
}
