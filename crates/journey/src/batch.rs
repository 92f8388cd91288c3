//! An export request of OTLP/JSON → its spans and log records, each with its resource and its scope's name.
//!
//! What the requests of all versions have in common, for both readers: [`crate::otlp`], which builds what is wanted whole,
//! and [`crate::brief`], which looks at every span. The names are those of protobuf's JSON (`scopeSpans`) and of its text
//! (`scope_spans`), and those of old Collectors (`instrumentationLibrarySpans`). `null` is nothing; what has an unknown form
//! is passed over and counted, what is unknown is passed over; members may come in any order.

use crate::cursor::Cursor;

/// Who takes a request apart.
pub(crate) trait Take<'a> {
    /// Takes the resource of all items that follow, with the cursor before it. There may be none: see [`Take::next`].
    fn resource(&mut self, cursor: &mut Cursor<'a>) -> Option<()>;

    /// Items of another resource follow.
    fn next(&mut self);

    /// Takes an item of this kind; `scope` is its scope's name. Passes it, whatever it is.
    fn item(&mut self, kind: Items, scope: &str, cursor: &mut Cursor<'a>) -> Option<()>;

    /// Something has an unknown form.
    fn odd(&mut self);
}

/// What a request exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Items {
    Spans,
    Records,
}

/// Walks through the object that `cursor` stands before: whether it is an export request, `None` if it is no JSON.
pub(crate) fn walk<'a>(cursor: &mut Cursor<'a>, take: &mut impl Take<'a>) -> Option<bool> {
    let mut is_one = false;
    cursor.members(|cursor, name| {
        let kind = match name {
            "resourceSpans" | "resource_spans" => Items::Spans,
            "resourceLogs" | "resource_logs" => Items::Records,
            _ => return cursor.pass(),
        };
        is_one |= cursor.peek()? != b'n';
        list(cursor, take, |cursor, take| of_resource(kind, cursor, take))
    })?;
    Some(is_one)
}

fn of_resource<'a>(kind: Items, cursor: &mut Cursor<'a>, take: &mut impl Take<'a>) -> Option<()> {
    take.next();
    let (mut has_resource, mut before) = (false, Vec::new());
    cursor.members(|cursor, name| {
        let of_kind = match kind {
            Items::Spans => matches!(
                name,
                "scopeSpans"
                    | "scope_spans"
                    | "instrumentationLibrarySpans"
                    | "instrumentation_library_spans"
            ),
            Items::Records => matches!(
                name,
                "scopeLogs" | "scope_logs" | "instrumentationLibraryLogs" | "instrumentation_library_logs"
            ),
        };
        match name {
            "resource" => {
                has_resource = true;
                take.resource(cursor)
            }
            _ if !of_kind => cursor.pass(),
            _ if has_resource => list(cursor, take, |cursor, take| of_scope(kind, cursor, take)),
            _ => {
                before.push(cursor.at);
                cursor.pass()
            }
        }
    })?;
    again(cursor, &before, |cursor| list(cursor, take, |cursor, take| of_scope(kind, cursor, take)))
}

fn of_scope<'a>(kind: Items, cursor: &mut Cursor<'a>, take: &mut impl Take<'a>) -> Option<()> {
    let (mut scope, mut before) = (None, Vec::new());
    cursor.members(|cursor, name| {
        let of_kind = match kind {
            Items::Spans => name == "spans",
            Items::Records => matches!(name, "logRecords" | "log_records" | "logs"),
        };
        match name {
            "scope" | "instrumentationLibrary" | "instrumentation_library" => {
                scope = Some(scope_name(cursor)?);
                Some(())
            }
            _ if !of_kind => cursor.pass(),
            // The scope of spans is not told anywhere.
            _ if kind == Items::Spans || scope.is_some() => {
                let scope = scope.as_deref().unwrap_or_default();
                list(cursor, take, |cursor, take| take.item(kind, scope, cursor))
            }
            _ => {
                before.push(cursor.at);
                cursor.pass()
            }
        }
    })?;
    let scope = scope.unwrap_or_default();
    again(cursor, &before, |cursor| list(cursor, take, |cursor, take| take.item(kind, &scope, cursor)))
}

fn scope_name(cursor: &mut Cursor<'_>) -> Option<String> {
    let mut found = String::new();
    if cursor.peek()? != b'{' {
        cursor.pass()?;
        return Some(found);
    }
    cursor.members(|cursor, name| {
        match name {
            "name" => found = cursor.scalar()?.text().unwrap_or_default().into_owned(),
            _ => cursor.pass()?,
        }
        Some(())
    })?;
    Some(found)
}

/// Walks through a list of objects, or nothing.
fn list<'a, T: Take<'a>>(
    cursor: &mut Cursor<'a>,
    take: &mut T,
    mut each: impl FnMut(&mut Cursor<'a>, &mut T) -> Option<()>,
) -> Option<()> {
    match cursor.peek()? {
        b'[' => cursor.items(|cursor| match cursor.peek()? {
            b'{' => each(cursor, take),
            b'n' => cursor.pass(),
            _ => {
                take.odd();
                cursor.pass()
            }
        }),
        b'n' => cursor.pass(),
        _ => {
            take.odd();
            cursor.pass()
        }
    }
}

/// Goes back to what came too early, and returns.
fn again<'a>(
    cursor: &mut Cursor<'a>,
    places: &[usize],
    mut look: impl FnMut(&mut Cursor<'a>) -> Option<()>,
) -> Option<()> {
    let end = cursor.at;
    for at in places {
        cursor.at = *at;
        look(cursor)?;
    }
    cursor.at = end;
    Some(())
}
