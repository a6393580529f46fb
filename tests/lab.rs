//! Real hosts: systemd as PID 1, real nginx, real Docker, real Redis. See `tests/lab/images` for how they are made.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "lab/access.rs"]
mod access;
#[path = "lab/adopt.rs"]
mod adopt;
#[path = "lab/apt.rs"]
mod apt;
#[path = "lab/authority.rs"]
mod authority;
#[path = "lab/backup.rs"]
mod backup;
#[path = "lab/backup_places.rs"]
mod backup_places;
#[path = "lab/backup_s3.rs"]
mod backup_s3;
#[path = "lab/bare.rs"]
mod bare;
#[path = "lab/certificates.rs"]
mod certificates;
#[path = "lab/change.rs"]
mod change;
#[path = "lab/changes.rs"]
mod changes;
#[path = "lab/confirm.rs"]
mod confirm;
#[path = "lab/crowd.rs"]
mod crowd;
#[path = "lab/disk.rs"]
mod disk;
#[path = "lab/doorstep.rs"]
mod doorstep;
#[path = "lab/edge.rs"]
mod edge;
#[path = "lab/figures.rs"]
mod figures;
#[path = "lab/figures_of_recovery.rs"]
mod figures_of_recovery;
#[path = "lab/firewall.rs"]
mod firewall;
#[path = "lab/generations.rs"]
mod generations;
#[path = "lab/graders.rs"]
mod graders;
#[path = "lab/health.rs"]
mod health;
#[path = "lab/hold.rs"]
mod hold;
#[path = "lab/idle.rs"]
mod idle;
#[path = "lab/image.rs"]
mod image;
#[path = "lab/journal.rs"]
mod journal;
#[path = "lab/load.rs"]
mod load;
#[path = "lab/monitor.rs"]
mod monitor;
#[path = "lab/owner.rs"]
mod owner;
#[path = "lab/page.rs"]
mod page;
#[path = "lab/pairs.rs"]
mod pairs;
#[path = "lab/pins.rs"]
mod pins;
#[path = "lab/points.rs"]
mod points;
#[path = "lab/postgres.rs"]
mod postgres;
#[path = "lab/power.rs"]
mod power;
#[path = "lab/prometheus.rs"]
mod prometheus;
#[path = "lab/raw.rs"]
mod raw;
#[path = "lab/refusals.rs"]
mod refusals;
#[path = "lab/rows.rs"]
mod rows;
#[path = "lab/sandbox.rs"]
mod sandbox;
#[path = "lab/secrets.rs"]
mod secrets;
#[path = "lab/service.rs"]
mod service;
#[path = "lab/service_change.rs"]
mod service_change;
#[path = "lab/site.rs"]
mod site;
#[path = "lab/supervise.rs"]
mod supervise;
mod support;
#[path = "lab/sweep.rs"]
mod sweep;
#[path = "lab/traffic.rs"]
mod traffic;
#[path = "lab/trouble.rs"]
mod trouble;
#[path = "lab/websocket.rs"]
mod websocket;
#[path = "lab/whole_host.rs"]
mod whole_host;
