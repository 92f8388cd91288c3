//! Who speaks: the resource of everything that this process sends (OpenTelemetry's `service.*`, `host.*`, `os.*`
//! and `process.*`).
//!
//! Promises: `service.name`, `service.version` and `service.instance.id` are ours, whatever `OTEL_RESOURCE_ATTRIBUTES`
//! says; everything else may be set there. Refuses: the command line, which may hold a password.

use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    resource::{ResourceDetector as _, TelemetryResourceDetector},
};

use crate::start::Settings;

/// `given` is `OTEL_RESOURCE_ATTRIBUTES`.
pub(crate) fn resource(settings: &Settings, instance: &str, given: &[(String, String)]) -> Resource {
    let given = given.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let ours = [
        KeyValue::new("service.name", settings.service),
        KeyValue::new("service.version", settings.version),
        KeyValue::new("service.instance.id", instance.to_owned()),
    ];
    // Of two attributes of one name the later one counts.
    Resource::builder_empty()
        .with_attributes(
            TelemetryResourceDetector
                .detect()
                .iter()
                .map(|(name, value)| KeyValue::new(name.clone(), value.clone())),
        )
        .with_attributes(here())
        .with_attributes(given)
        .with_attributes(ours)
        .build()
}

/// What the machine and the process know about themselves; what cannot be found out is left out.
fn here() -> Vec<KeyValue> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "x86",
        other => other,
    };
    let mut here = vec![
        KeyValue::new("host.arch", architecture),
        KeyValue::new("os.type", std::env::consts::OS),
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("process.runtime.name", "rust"),
    ];
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        here.push(KeyValue::new("host.name", name.trim().to_owned()));
    }
    if let Ok(path) = std::env::current_exe() {
        if let Some(name) = path.file_name() {
            here.push(KeyValue::new("process.executable.name", name.to_string_lossy().into_owned()));
        }
        here.push(KeyValue::new("process.executable.path", path.to_string_lossy().into_owned()));
    }
    here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_ours_and_the_rest_may_be_set() {
        let settings = Settings {
            service: "cache",
            version: "1.2.3",
            instance: None,
            otlp_endpoint: None,
            export: true,
        };
        let given = [("service.name", "other"), ("host.name", "given"), ("team", "edge")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let resource = resource(&settings, "c-1", &given);
        let check = |name: &'static str, expected: &str| {
            let value = resource.get(&name.into()).map(|value| value.to_string());
            assert_eq!(value.as_deref(), Some(expected), "{name}");
        };
        check("service.name", "cache");
        check("service.version", "1.2.3");
        check("service.instance.id", "c-1");
        check("host.name", "given");
        check("team", "edge");
        check("telemetry.sdk.language", "rust");
        check("process.pid", &std::process::id().to_string());
        assert!(resource.get(&"process.command_args".into()).is_none());
    }
}
