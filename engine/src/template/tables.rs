//! Filters between tables and CSV.
//!
//! Invariant: a text that `csv` wrote is read back by `from_csv` to the same rows, all values as text.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, State};

use super::filters::fault;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("csv", to_csv);
    environment.add_filter("from_csv", from_csv);
}

/// A list of mappings (columns of the first, in order) or of lists, as CSV.
fn to_csv(state: &State<'_, '_>, rows: &Value) -> Result<String, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut columns: Option<Vec<Value>> = None;
    for row in rows.try_iter()?.checked() {
        let row = row?;
        state.consume_fuel(8)?;
        if row.kind() == ValueKind::Map {
            if columns.is_none() {
                let keys: Vec<Value> = row.try_iter()?.checked().collect::<Result<_, _>>()?;
                write(&mut writer, &keys)?;
                columns = Some(keys);
            }
            let keys = columns.as_deref().unwrap_or_default();
            let cells: Vec<Value> = keys.iter().map(|key| row.get_item(key)).collect::<Result<_, _>>()?;
            write(&mut writer, &cells)?;
        } else {
            let cells: Vec<Value> = row.try_iter()?.checked().collect::<Result<_, _>>()?;
            write(&mut writer, &cells)?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| fault(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| fault(error.to_string()))
}

fn write(writer: &mut csv::Writer<Vec<u8>>, cells: &[Value]) -> Result<(), Error> {
    let text = |cell: &Value| if cell.is_none() || cell.is_undefined() { String::new() } else { cell.to_string() };
    writer.write_record(cells.iter().map(text)).map_err(|error| fault(error.to_string()))
}

/// Rows as mappings by the first line's names; `header=false` gives lists.
#[expect(clippy::needless_pass_by_value, reason = "the template engine hands arguments over by value")]
fn from_csv(state: &State<'_, '_>, text: &str, kwargs: Kwargs) -> Result<Vec<Value>, Error> {
    let header: bool = kwargs.get::<Option<bool>>("header")?.unwrap_or(true);
    let delimiter: Option<String> = kwargs.get("delimiter")?;
    kwargs.assert_all_used()?;
    let delimiter = delimiter.as_deref().map_or(Some(b','), |text| match text.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    });
    let delimiter = delimiter.ok_or_else(|| fault("a delimiter is one character"))?;
    let mut reader =
        csv::ReaderBuilder::new().has_headers(header).flexible(true).delimiter(delimiter).from_reader(text.as_bytes());
    let names: Vec<String> = if header {
        let names = reader.headers().map_err(|error| fault(format!("not CSV: {error}")))?;
        names.iter().map(str::to_owned).collect()
    } else {
        Vec::new()
    };
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| fault(format!("not CSV: {error}")))?;
        state.consume_fuel(record.len() as u64 + 1)?;
        rows.push(if header {
            Value::from_pairs(names.iter().zip(&record).map(|(name, cell)| (name.as_str(), Value::from(cell))))
        } else {
            record.iter().map(Value::from).collect()
        });
    }
    Ok(rows)
}
