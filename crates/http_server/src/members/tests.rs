//! Members as clients write them: tables for each method, and properties for what strangers send.

use proptest::prelude::*;
use serde_json::json;
use store::Status;
use uuid::Uuid;

use super::*;

fn current() -> Booking {
    let details = Details {
        resource: "room".into(),
        guest: "Ada".into(),
        starts_at: "2030-01-01T10:00:00Z".parse().unwrap(),
        ends_at: "2030-01-01T11:00:00Z".parse().unwrap(),
        notes: Some("by the window".into()),
    };
    let now = "2029-01-01T00:00:00.000001Z".parse().unwrap();
    Booking::new(Uuid::from_u128(7), details, Status::Confirmed, now)
}

fn read(body: &Value) -> Result<Draft, Refusal> {
    Draft::read(Members::parse(body.to_string().as_bytes())?)
}

/// What differs from the current booking, or the field that is refused.
fn told(outcome: Result<Details, Refusal>) -> Result<String, String> {
    let was = current().details;
    match outcome {
        Ok(details) => {
            let mut differs = Vec::new();
            let mut note = |name: &str, was: String, is: String| {
                if was != is {
                    differs.push(format!("{name}={is}"));
                }
            };
            note("resource", was.resource, details.resource);
            note("guest", was.guest, details.guest);
            note("starts_at", was.starts_at.to_string(), details.starts_at.to_string());
            note("ends_at", was.ends_at.to_string(), details.ends_at.to_string());
            note("notes", was.notes.unwrap_or("-".into()), details.notes.unwrap_or("-".into()));
            Ok(differs.join(" "))
        }
        Err(Refusal::Invalid { field, .. }) => Err(field),
        Err(other) => Err(format!("{other:?}")),
    }
}

fn same(outcome: Result<String, String>, expected: Result<&str, &str>, body: &Value) {
    assert_eq!(outcome.as_deref().map_err(String::as_str), expected, "{body}");
}

#[test]
fn a_merge_patch_replaces_what_it_says_and_leaves_the_rest() {
    #[track_caller]
    fn check(body: Value, expected: Result<&str, &str>) {
        same(told(read(&body).and_then(|draft| draft.merge_into(&current()))), expected, &body);
    }
    check(json!({}), Ok(""));
    check(json!({"guest": "Grace"}), Ok("guest=Grace"));
    check(json!({"notes": null}), Ok("notes=-"));
    check(json!({"notes": ""}), Ok("notes="));
    check(json!({"ends_at": "2030-01-01T14:00:00+02:00"}), Ok("ends_at=2030-01-01T12:00:00Z"));
    check(json!({"ends_at": "2030-01-01T10:00:00Z"}), Err("ends_at"));
    check(json!({"starts_at": "2030-01-01T11:30:00Z"}), Err("ends_at"));
    check(json!({"guest": null}), Err("guest"));
    check(json!({"starts_at": null}), Err("starts_at"));
    check(json!({"id": current().id.to_string(), "status": "confirmed"}), Ok(""));
    check(json!({"id": Uuid::from_u128(8).to_string()}), Err("id"));
    check(json!({"id": null}), Err("id"));
    check(json!({"status": "cancelled"}), Err("status"));
    check(json!({"status": 1}), Err("status"));
    check(json!({"created_at": "2029-01-01T01:00:00.000001+01:00"}), Ok(""));
    check(json!({"updated_at": "2029-01-01T00:00:00Z"}), Err("updated_at"));
    check(json!({"version": 1}), Err("version"));
    check(json!({"notes": {"a": null}}), Err("notes"));
    check(json!({"Guest": "Grace"}), Err("Guest"));
    check(json!({"": "Grace"}), Err(""));
}

#[test]
fn a_replacement_is_whole_and_may_carry_what_is_read_only() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), expected: Result<&str, &str>) {
        let mut body = json!({
            "id": current().id.to_string(), "resource": "room", "guest": "Ada", "notes": "by the window",
            "starts_at": "2030-01-01T10:00:00Z", "ends_at": "2030-01-01T11:00:00Z", "status": "confirmed",
            "created_at": "2029-01-01T00:00:00.000001Z", "updated_at": "2029-01-01T00:00:00.000001Z",
        });
        change(&mut body);
        same(told(read(&body).and_then(|draft| draft.replace(&current()))), expected, &body);
    }
    let without =
        |name: &'static str| move |body: &mut Value| drop(body.as_object_mut().unwrap().remove(name));
    check(|_| {}, Ok(""));
    check(without("notes"), Ok("notes=-"));
    check(without("id"), Ok(""));
    check(without("updated_at"), Ok(""));
    check(without("resource"), Err("resource"));
    check(without("ends_at"), Err("ends_at"));
    check(|body| body["notes"] = Value::Null, Ok("notes=-"));
    check(|body| body["status"] = "pending".into(), Err("status"));
    check(|body| body["guest"] = Value::Null, Err("guest"));
}

#[test]
fn a_new_booking_says_all_and_nothing_that_is_ours() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), expected: Result<&str, &str>) {
        let mut body = json!({
            "resource": "room", "guest": "Ada", "notes": "by the window",
            "starts_at": "2030-01-01T10:00:00Z", "ends_at": "2030-01-01T11:00:00Z",
        });
        change(&mut body);
        same(told(read(&body).and_then(Draft::new_booking)), expected, &body);
    }
    let set = |name: &'static str, value: &str| {
        let value = Value::from(value);
        move |body: &mut Value| body[name] = value
    };
    check(|_| {}, Ok(""));
    check(set("resource", ""), Err("resource"));
    check(set("resource", " \u{2003}"), Err("resource"));
    check(set("resource", "two\nlines"), Err("resource"));
    check(set("guest", "esc\u{1b}[2J"), Err("guest"));
    check(set("guest", "nul\0"), Err("guest"));
    check(set("notes", "nul\0"), Err("notes"));
    check(set("notes", "two\nlines"), Ok("notes=two\nlines"));
    let (longest, too_long) = ("ä".repeat(LONGEST_NAME), "ä".repeat(LONGEST_NAME + 1));
    check(set("guest", &longest), Ok(&format!("guest={longest}")));
    check(set("guest", &too_long), Err("guest"));
    let (longest, too_long) = ("🏠".repeat(LONGEST_NOTES), "🏠".repeat(LONGEST_NOTES + 1));
    check(set("notes", &longest), Ok(&format!("notes={longest}")));
    check(set("notes", &too_long), Err("notes"));
    check(set("starts_at", "2030-01-01T11:00:00Z"), Err("ends_at"));
    check(set("starts_at", "2030-01-01"), Err("starts_at"));
    check(set("ends_at", "10000-01-01T00:00:00Z"), Err("ends_at"));
    check(set("starts_at", "2030-01-01T10:00:00.0000001Z"), Err("starts_at"));
    check(|body| body["guest"] = json!(["Ada"]), Err("guest"));
    check(|body| body["ends_at"] = json!(1_893_495_600), Err("ends_at"));
    for ours in ["id", "status", "created_at", "updated_at"] {
        check(set(ours, "x"), Err(ours));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Members::parse(&bytes).map(Draft::read);
    }

    #[test]
    fn any_json_is_read_or_refused(body in any_json()) {
        if let Ok(draft) = read(&body) {
            let _ = draft.clone().new_booking();
            let _ = draft.clone().replace(&current());
            let _ = draft.merge_into(&current());
        }
    }

    #[test]
    fn an_unknown_member_is_always_refused_by_its_name(
        name in "[a-z_]{1,12}",
        value in any_json(),
        others in prop::sample::subsequence(vec!["guest", "notes", "resource"], 0..=3),
    ) {
        let known = ["id", "resource", "guest", "starts_at", "ends_at", "notes", "status", "created_at", "updated_at"];
        prop_assume!(!known.contains(&name.as_str()));
        let mut body: serde_json::Map<_, _> =
            others.into_iter().map(|other| (other.to_owned(), Value::from("x"))).collect();
        body.insert(name.clone(), value);
        let refused = read(&Value::Object(body));
        prop_assert!(matches!(&refused, Err(Refusal::Invalid { field, .. }) if *field == name), "{:?}", refused);
    }
}
