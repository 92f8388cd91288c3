//! `docker-compose.yml` itself: what it says, everywhere; and what it does, where a Docker engine can be started.
//!
//! The second needs root, for Debian's dockerd is started on a data folder of its own (`tests/docker/engine`), and stand-ins
//! for the images, for there may be no registry (`tests/docker/stand-ins`). They are the real programs, Grafana apart, which
//! no package carries: it is left out, and only what is mounted into it is looked at. Where no engine can be started, the
//! output says so.

/// A Docker engine for the tests.
mod engine;
/// What the file says.
mod file;
/// The file as a project on an engine.
mod project;
/// The file brought up.
mod running;
