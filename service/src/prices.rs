//! Which prices hold for a run, and the history of a tenant's own.
//!
//! Invariant: a run is charged by the prices that held when it started, whatever a connection says later.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use domain::TenantId;
use domain::wire::ModelRate;
use engine::prices::{ANY_MODEL, NEWEST};
use entities::{JsonText, Scope as _, Unit, connection_price, tenant};
use sea_orm::ColumnTrait;

use crate::{ServiceError, Weir};

/// Models of one connection that may have a rate.
const MODELS: usize = 200;
/// Dollars for a million tokens, at most: a thousand times the dearest there is.
const DEAREST: f64 = 1_000_000.0;

/// The prices of a moment: the built-in table's version, and the tenant's own revision behind a point where it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PriceVersion {
    pub(crate) table: u32,
    revision: i32,
}

impl PriceVersion {
    /// What a run that starts now is pinned to.
    pub(crate) const fn now(revision: i32) -> Self {
        Self { table: NEWEST, revision }
    }
}

impl fmt::Display for PriceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            0 => write!(f, "{}", self.table),
            revision => write!(f, "{}.{revision}", self.table),
        }
    }
}

impl FromStr for PriceVersion {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (table, revision) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self { table: table.parse()?, revision: revision.parse()? })
    }
}

/// What a connection said of its models at that moment.
pub(crate) async fn of_connection(
    weir: &Weir,
    tenant: TenantId,
    name: &str,
    at: PriceVersion,
) -> Result<BTreeMap<String, ModelRate>, ServiceError> {
    use connection_price::Column;
    if at.revision == 0 {
        return Ok(BTreeMap::new());
    }
    let reader = weir.store().read(tenant).await?;
    let until = reader.find::<connection_price::Entity>().filter(Column::Revision.lte(at.revision));
    let newest = until.filter(Column::Connection.eq(name)).order_by_desc(Column::Revision).one().await?;
    newest.map_or_else(|| Ok(BTreeMap::new()), |row| row.prices.read().map_err(ServiceError::internal))
}

/// Keeps a connection's rates as the tenant's next revision.
pub(crate) async fn change(
    unit: &Unit,
    name: &str,
    prices: &BTreeMap<String, ModelRate>,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), ServiceError> {
    let row = unit.find::<tenant::Entity>().for_update().one().await?;
    let row = row.ok_or_else(|| ServiceError::not_found("tenant", name))?;
    let revision = row.price_revision + 1;
    unit.update::<tenant::Entity>().set(tenant::Column::PriceRevision, revision).exec().await?;
    let connection = name.to_owned();
    let prices = JsonText::of(prices);
    let kept = connection_price::Model { tenant_id: row.id, revision, connection, prices, created_at: now };
    unit.insert(kept).await?;
    Ok(())
}

/// # Errors
/// [`ServiceError::Invalid`] names the field of what cannot be a rate.
pub(crate) fn check(prices: &BTreeMap<String, ModelRate>) -> Result<(), ServiceError> {
    if prices.len() > MODELS {
        return Err(ServiceError::field("/prices", format!("A connection has prices of at most {MODELS} models.")));
    }
    for (model, rate) in prices {
        let is_name = model == ANY_MODEL
            || (!model.is_empty() && model.len() <= 200 && !model.chars().any(|c| c.is_control() || c.is_whitespace()));
        if !is_name {
            let message = "Prices are kept by the model's name at the provider, or by `*` for all others.";
            return Err(ServiceError::field("/prices", message));
        }
        let rates = [Some(rate.input), Some(rate.output), rate.cached_input];
        if rates.into_iter().flatten().any(|dollars| !(0.0..=DEAREST).contains(&dollars)) {
            let message = format!(
                "The prices of `{model}` are no US dollars for a million tokens; 0 is free, and the most is 1,000,000."
            );
            return Err(ServiceError::field("/prices", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_is_written() {
        for (text, version) in
            [("1", PriceVersion { table: 1, revision: 0 }), ("3.17", PriceVersion { table: 3, revision: 17 })]
        {
            assert_eq!((version.to_string().as_str(), text.parse()), (text, Ok(version)));
        }
        for text in ["", "1.", ".1", "a", "1.2.3"] {
            assert!(text.parse::<PriceVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_checked() {
        let with = |model: &str, input: f64| {
            check(&BTreeMap::from([(model.to_owned(), ModelRate { input, output: 1.0, cached_input: None })]))
        };
        assert!(with("gpt", 0.0).is_ok() && with("*", 1e6).is_ok());
        for (model, input) in [("gpt", -0.1), ("gpt", 1e7), ("gpt", f64::NAN), ("", 1.0), ("a b", 1.0)] {
            assert!(with(model, input).is_err(), "{model} {input}");
        }
    }
}
