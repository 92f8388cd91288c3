//! One booking.

use uuid::Uuid;

use super::{COLUMNS, Operation, read};
use crate::{
    Booking,
    error::Error,
    session::{Session, Sql},
    value::Value,
};

#[derive(Debug)]
pub(crate) struct Get {
    pub(crate) id: Uuid,
}

impl Operation for Get {
    const WRITES: bool = false;
    type Output = Booking;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Booking, Error> {
        let text = format!("SELECT {COLUMNS} FROM bookings WHERE id = $1");
        let rows = session.rows(&Sql::same("SELECT", "bookings", &text), &[Value::Id(self.id)]).await?;
        read(rows.first().ok_or(Error::NotFound)?)
    }
}
