//! A value on its way into a statement or out of a row, the same for both databases.
//!
//! PostgreSQL has types for ids and times; SQLite keeps an id as its text, which sorts as its bytes do, and a time as
//! an integer of microseconds. Reading a column as what it is not is an error, never a panic: the database is not ours alone.

use bytes::BytesMut;
use time::OffsetDateTime;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use uuid::Uuid;

use crate::{
    Timestamp,
    error::{Error, Said},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Time(Timestamp),
    Id(Uuid),
}

/// One row, column by column.
#[derive(Debug)]
pub(crate) struct Row(pub(crate) Vec<Value>);

impl Row {
    pub(crate) fn text(&self, column: usize) -> Result<&str, Error> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(strange(column, "a text", other)),
        }
    }

    pub(crate) fn text_or_null(&self, column: usize) -> Result<Option<&str>, Error> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.text(column).map(Some),
        }
    }

    pub(crate) fn integer(&self, column: usize) -> Result<i64, Error> {
        match self.0.get(column) {
            Some(Value::Integer(integer)) => Ok(*integer),
            other => Err(strange(column, "an integer", other)),
        }
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<&[u8], Error> {
        match self.0.get(column) {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            other => Err(strange(column, "bytes", other)),
        }
    }

    pub(crate) fn time(&self, column: usize) -> Result<Timestamp, Error> {
        let read = match self.0.get(column) {
            Some(Value::Time(time)) => Some(*time),
            Some(Value::Integer(micros)) => Timestamp::from_micros(*micros),
            _ => None,
        };
        read.ok_or_else(|| strange(column, "a timestamp", self.0.get(column)))
    }

    pub(crate) fn time_or_null(&self, column: usize) -> Result<Option<Timestamp>, Error> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.time(column).map(Some),
        }
    }

    pub(crate) fn id_or_null(&self, column: usize) -> Result<Option<Uuid>, Error> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.id(column).map(Some),
        }
    }

    pub(crate) fn id(&self, column: usize) -> Result<Uuid, Error> {
        let read = match self.0.get(column) {
            Some(Value::Id(id)) => Some(*id),
            Some(Value::Text(text)) => Uuid::try_parse(text).ok(),
            _ => None,
        };
        read.ok_or_else(|| strange(column, "an id", self.0.get(column)))
    }
}

/// Names the kind of what was found, not the value: it may be a guest's.
pub(crate) fn strange(column: usize, wanted: &str, found: Option<&Value>) -> Error {
    let found = match found {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Integer(_)) => "an integer",
        Some(Value::Text(_)) => "a text",
        Some(Value::Bytes(_)) => "bytes",
        Some(Value::Time(_)) => "a timestamp",
        Some(Value::Id(_)) => "an id",
    };
    let said = format!("column {column} should hold {wanted} that can be read, but holds {found}");
    Error::Internal { doing: "read a row".into(), source: Box::new(Said(said.into())) }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(value) => value.to_sql_checked(ty, out),
            Value::Text(value) => value.to_sql_checked(ty, out),
            Value::Bytes(value) => value.to_sql_checked(ty, out),
            Value::Time(value) => value.date_time().to_sql_checked(ty, out),
            Value::Id(value) => value.to_sql_checked(ty, out),
        }
    }

    // The statement decides a parameter's type; `to_sql` refuses what does not fit.
    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        self.to_sql(ty, out)
    }
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        match *ty {
            Type::BOOL => Ok(Value::Integer(bool::from_sql(ty, raw)?.into())),
            Type::INT4 => Ok(Value::Integer(i32::from_sql(ty, raw)?.into())),
            Type::INT8 => Ok(Value::Integer(i64::from_sql(ty, raw)?)),
            Type::BYTEA => Ok(Value::Bytes(<Vec<u8>>::from_sql(ty, raw)?)),
            Type::UUID => Ok(Value::Id(Uuid::from_sql(ty, raw)?)),
            Type::TIMESTAMPTZ => time_from_sql(ty, raw),
            _ => Ok(Value::Text(String::from_sql(ty, raw)?)),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxError> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        let known = [Type::BOOL, Type::INT4, Type::INT8, Type::BYTEA, Type::UUID, Type::TIMESTAMPTZ];
        known.contains(ty) || <String as FromSql<'_>>::accepts(ty)
    }
}

fn time_from_sql(ty: &Type, raw: &[u8]) -> Result<Value, BoxError> {
    let instant = OffsetDateTime::from_sql(ty, raw)?;
    let time = Timestamp::from_date_time(instant);
    time.map(Value::Time).ok_or_else(|| "a timestamp outside the years 1 to 9999".into())
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
        Ok(match self {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Integer(value) => ToSqlOutput::Borrowed(ValueRef::Integer(*value)),
            Value::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Value::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
            Value::Time(value) => ToSqlOutput::Borrowed(ValueRef::Integer(value.micros())),
            Value::Id(value) => ToSqlOutput::Owned(Owned::Text(value.hyphenated().to_string())),
        })
    }
}

impl rusqlite::types::FromSql for Value {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        use rusqlite::types::{FromSqlError, ValueRef};
        match value {
            ValueRef::Null => Ok(Value::Null),
            ValueRef::Integer(value) => Ok(Value::Integer(value)),
            ValueRef::Real(_) => Err(FromSqlError::InvalidType),
            ValueRef::Text(_) => value.as_str().map(|text| Value::Text(text.to_owned())),
            ValueRef::Blob(value) => Ok(Value::Bytes(value.to_owned())),
        }
    }
}
