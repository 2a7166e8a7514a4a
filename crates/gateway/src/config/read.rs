//! How a configuration is read and checked: the file, and the variables of the environment that win over it.

use midwatch_workflow::Budget;

use super::{Config, ENVIRONMENT, Invalid};

impl Config {
    /// Reads a configuration and lets variables of the environment win over it.
    ///
    /// # Errors
    /// [`Invalid`], with the setting and what is wrong with it.
    pub fn read(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Invalid> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| Invalid::new(error.to_string()))?;
        for (name, value) in environment {
            if let Some(path) = name.strip_prefix(ENVIRONMENT) {
                set(&mut table, &path.to_ascii_lowercase(), &value)
                    .map_err(|why| Invalid::new(format!("{name}: {why}")))?;
            }
        }
        let config: Self = table.try_into().map_err(|error| Invalid::new(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Invalid> {
        if !self.listen.ip().is_loopback() && self.keys.is_empty() {
            let listen = self.listen;
            return Err(Invalid::new(format!(
                "listen = \"{listen}\": anything but loopback needs a key under [keys]"
            )));
        }
        for (name, key) in &self.keys {
            if key.key_env.is_none() == key.key_file.is_none() {
                return Err(Invalid::new(format!("keys.{name}: give key_env or key_file")));
            }
            if let Some(unknown) =
                key.upstreams.iter().find(|upstream| !self.upstreams.contains_key(*upstream))
            {
                return Err(Invalid::new(format!("keys.{name}.upstreams: there is no upstream `{unknown}`")));
            }
            if key.tenant.is_some() && key.day.budget().is_some() {
                let what = "its limit is its tenant's: set budgets.tenant_day, or leave the tenant out";
                return Err(Invalid::new(format!("keys.{name}.day: {what}")));
            }
        }
        for (name, upstream) in &self.upstreams {
            if name.contains([':', '@', '/']) {
                return Err(Invalid::new(format!("upstreams.\"{name}\": a name has no `:`, `@` or `/`")));
            }
            let has_key = upstream.key_env.is_some() || upstream.key_file.is_some();
            if upstream.pass_credentials && (has_key || !self.keys.is_empty()) {
                let what = "the client's credentials are either its own at the upstream or its key here";
                return Err(Invalid::new(format!("upstreams.{name}.pass_credentials: {what}")));
            }
            if upstream.per_second.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
                return Err(Invalid::new(format!("upstreams.{name}.per_second: must be above zero")));
            }
        }
        Ok(())
    }

    /// The daily budget of a tenant, whether set for it or for the key that it is named after.
    pub fn tenant_day(&self, tenant: &str) -> Option<Budget> {
        let own = self.budgets.tenant_day.get(tenant).and_then(|limit| limit.budget());
        own.or_else(|| self.keys.get(tenant).filter(|key| key.tenant.is_none())?.day.budget())
    }
}

/// Sets one value by its path.
fn set(table: &mut toml::Table, path: &str, value: &str) -> Result<(), String> {
    let (parents, name) =
        path.rsplit_once("__").map_or((None, path), |(parents, name)| (Some(parents), name));
    let mut place = table;
    for parent in parents.into_iter().flat_map(|parents| parents.split("__")) {
        let entry = place.entry(parent.to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = entry.as_table_mut().ok_or_else(|| format!("`{parent}` is no table"))?;
    }
    // A number or a truth value where it reads as one; else a text.
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
    let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    place.insert(name.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use midwatch_workflow::Money;

    use super::super::Mode;
    use super::*;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(text, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = "mode = \"observe\"\nidle = \"2m\"\n[budgets.run]\nusd = \"1.00\"\n";
        let config = read(
            file,
            &[
                ("MIDWATCH_GATEWAY_MODE", "protect"),
                ("MIDWATCH_GATEWAY_BUDGETS__RUN__TOKENS", "500"),
                ("MIDWATCH_GATEWAY_BUDGETS__DAY__USD", "2"),
                ("MIDWATCH_GATEWAY_BUDGETS__TENANT_DAY__ANN__USD", "0.000001"),
                ("MIDWATCH_GATEWAY_UPSTREAMS__OPENAI__URL", "https://api.openai.com/v1"),
                ("MIDWATCH_DB", "of no concern"),
            ],
        )
        .unwrap();
        assert_eq!((config.mode, config.idle), (Mode::Protect, Duration::from_secs(120)));
        assert_eq!(config.budgets.run.usd, Some(Money::from_cents(100)));
        assert_eq!(config.budgets.run.tokens, Some(500));
        assert_eq!(config.budgets.day.usd, Some(Money::from_cents(200)));
        assert_eq!(config.budgets.tenant_day["ann"].usd, Some(Money::from_picos(1_000_000)));
        assert_eq!(config.upstreams["openai"].url, "https://api.openai.com/v1");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, said) in [
            ("listen = \"0.0.0.0:80\"", "needs a key"),
            ("idle = \"soon\"", "`soon` is no duration"),
            ("modes = 1", "unknown field `modes`"),
            ("[budgets.run]\nusd = \"a lot\"", "`a lot` is no amount"),
            ("[upstreams.\"a:b\"]\nurl = \"http://h/v1\"", "a name has no `:`"),
            ("[keys.a]", "keys.a: give key_env or key_file"),
            ("[keys.a]\nkey_env = \"A\"\nupstreams = [\"x\"]", "there is no upstream `x`"),
            ("[keys.a]\nkey_env = \"A\"\ntenant = \"t\"\nday = { tokens = 1 }", "budgets.tenant_day"),
            (
                "[upstreams.o]\nurl = \"http://h/v1\"\nkey_env = \"K\"\npass_credentials = true",
                "pass_credentials",
            ),
        ] {
            let error = read(text, &[]).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
