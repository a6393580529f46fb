//! A Prometheus beside the default stack: it sees what there is to see, its rules hold, and nobody from outside gets
//! near it. The image is a stand-in, made of Debian's package, with the official one's contract.
#![allow(clippy::unwrap_used)]

use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::site::{STACK, exits, host_with_binary, round, wait_until_healthy};
use crate::support::lab::{Host, Image, prometheus_image_tar, redis_image_tar};

const PROMETHEUS: &str =
    "\n[container.prometheus]\nkind = \"prometheus\"\nimage = \"prom/prometheus:v3.1.0\"\n";
const API: &str = "http://127.0.0.1:9090/api/v1";
const RELAY: &str = "http://127.0.0.1:9179";

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn debian_12_has_a_prometheus() {
    a_prometheus_from_beginning_to_end(&host_with_binary(Image::BookwormPrepared, "numbers12"));
}

#[test]
fn debian_13_has_a_prometheus() {
    a_prometheus_from_beginning_to_end(&host_with_binary(Image::TrixiePrepared, "numbers13"));
}

fn a_prometheus_from_beginning_to_end(host: &Host) {
    host.load_image(&redis_image_tar());
    host.load_image(&prometheus_image_tar());
    host.ok("/root/tavernctl install --yes");
    let without = host.read(STACK);
    host.write(STACK, &format!("{without}{PROMETHEUS}"), 0o644);
    host.ok("tavernctl install --yes");
    let again = host.ok("tavernctl install --yes");
    assert!(again.contains("Nothing to change."), "{again}");
    everything_is_asked_and_answers(host);
    exits(&host.sh("tavernctl check"), 0);
    the_rules_hold(host);
    every_expression_finds_its_numbers(host);
    a_burst_of_errors_is_seen(host);
    nobody_gets_near(host);
    it_is_kept(host);

    host.write(STACK, &without, 0o644);
    host.ok("tavernctl install --yes");
    wait_until_healthy(host, "without its Prometheus");
    nothing_of_it_is_left(host);
    let sockets = host.ok("stat -c '%U:%G %a' /run/tavern/*.metrics.sock | sort -u");
    assert!(!sockets.contains("tavernmetrics"), "{sockets}");

    host.write(STACK, &format!("{without}{PROMETHEUS}"), 0o644);
    host.ok("tavernctl install --yes");
    exits(&host.sh("tavernctl uninstall --purge --yes"), 0);
    nothing_of_it_is_left(host);
    let left = host.sh("ls -d /etc/tavern /var/lib/tavern /run/tavern; docker volume ls -q");
    assert_eq!(left.stdout.trim(), "", "{left}");
}

/// What Prometheus says to a query: the labels and the number of each line.
fn query(host: &Host, expression: &str) -> Vec<Value> {
    let text = host.ok(&format!(
        "curl -sS --get --data-urlencode '{}' {API}/query",
        format!("query={expression}").replace('\'', "'\\''")
    ));
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["status"], "success", "{expression}: {text}");
    answer["data"]["result"].as_array().unwrap().clone()
}

fn wait_for(host: &Host, what: &str, expression: &str) {
    host.wait(what, Duration::from_secs(120), || {
        let lines = query(host, expression);
        (!lines.is_empty())
            .then_some(())
            .ok_or("no such line".to_owned())
    });
}

fn everything_is_asked_and_answers(host: &Host) {
    wait_for(host, "all sources to answer", "count(up == 1) == 3");
    let mut jobs: Vec<String> = query(host, "up")
        .iter()
        .map(|line| line["metric"]["job"].as_str().unwrap().to_owned())
        .collect();
    jobs.sort();
    assert_eq!(jobs, ["app-counter", "prometheus", "tavern"]);
    let app = query(
        host,
        "up{job=\"app-counter\",stack=\"counter\",app=\"counter\"}",
    );
    assert_eq!(app.len(), 1, "{app:?}");
}

fn the_rules_hold(host: &Host) {
    let promtool = "docker exec -i -e TMPDIR=/dev/shm counter-prometheus promtool";
    host.ok(&format!(
        "{promtool} check config /etc/prometheus/prometheus.yml"
    ));
    host.ok(&format!(
        "{promtool} check rules /etc/prometheus/alerts.yml"
    ));
    let told = host.ok(&format!("curl -sS {API}/rules"));
    let told: Value = serde_json::from_str(&told).unwrap();
    let rules = told["data"]["groups"][0]["rules"].as_array().unwrap();
    let names: Vec<&str> = rules
        .iter()
        .filter_map(|rule| rule["name"].as_str())
        .collect();
    for name in [
        "SiteErrors",
        "AppErrors",
        "AppDown",
        "ContainerDown",
        "DiskFull",
        "BackupTooOld",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    for rule in rules {
        assert_ne!(rule["health"], "err", "{rule}");
    }
    // What takes minutes, in no time.
    host.write("/root/alerts-test.yml", TIMES, 0o644);
    let tested = host.ok(&format!(
        "{promtool} test rules /dev/stdin </root/alerts-test.yml 2>&1"
    ));
    assert!(tested.contains("SUCCESS"), "{tested}");
}

/// 5xx over 5 % for 5 minutes is an alert; a shorter time, or fewer, is none. And the rest that takes its time.
const TIMES: &str = r#"
rule_files: ["/etc/prometheus/alerts.yml"]
evaluation_interval: 15s
tests:
  - interval: 1m
    input_series:
      - { series: 'tavern_site_answers_5m{site="bad",class="5xx"}', values: '0 6x9' }
      - { series: 'tavern_site_requests_5m{site="bad"}', values: '100x10' }
      - { series: 'tavern_site_answers_5m{site="good",class="5xx"}', values: '5x10' }
      - { series: 'tavern_site_requests_5m{site="good"}', values: '100x10' }
      - { series: 'tavern_site_answers_5m{site="idle",class="5xx"}', values: '0x10' }
      - { series: 'tavern_site_requests_5m{site="idle"}', values: '0x10' }
    alert_rule_test:
      - { eval_time: 5m, alertname: SiteErrors, exp_alerts: [] }
      - eval_time: 6m
        alertname: SiteErrors
        exp_alerts:
          - exp_labels: { severity: critical, site: bad }
            exp_annotations: { summary: "bad: 6% of the answers are errors" }
  - interval: 1m
    input_series:
      - { series: 'tavern_requests_total{job="app-a",stack="s",app="a",route="/",method="GET",status="200"}', values: '0+90x20' }
      - { series: 'tavern_requests_total{job="app-a",stack="s",app="a",route="/",method="GET",status="503"}', values: '0+10x20' }
      - { series: 'up{job="app-a",stack="s",app="a",instance="i"}', values: '1x4 0x10' }
      - { series: 'up{job="tavern",instance="i"}', values: '1x20' }
    alert_rule_test:
      - eval_time: 10m
        alertname: AppErrors
        exp_alerts:
          - exp_labels: { severity: critical, stack: s, app: a }
            exp_annotations: { summary: "a of s: 10% of its answers are errors" }
      - { eval_time: 5m, alertname: AppDown, exp_alerts: [] }
      - eval_time: 7m
        alertname: AppDown
        exp_alerts:
          - exp_labels: { severity: critical, job: app-a, stack: s, app: a, instance: i }
            exp_annotations: { summary: "a of s does not answer" }
      - { eval_time: 10m, alertname: TavernDown, exp_alerts: [] }
  - interval: 1m
    input_series:
      - { series: 'tavern_host_disk_free_bytes{path="/"}', values: '50x20' }
      - { series: 'tavern_host_disk_total_bytes{path="/"}', values: '1000x20' }
      - { series: 'tavern_backup_age_seconds{stack="s"}', values: '691200 691201' }
      - { series: 'tavern_certificate_expiry_seconds{stack="s"}', values: '86400 86399' }
      - { series: 'tavern_container_up{stack="s",container="c"}', values: '0x20' }
    alert_rule_test:
      - eval_time: 6m
        alertname: DiskFull
        exp_alerts:
          - exp_labels: { severity: warning, path: / }
            exp_annotations: { summary: "5% of / is free" }
      - { eval_time: 0m, alertname: BackupTooOld, exp_alerts: [] }
      - eval_time: 1m
        alertname: BackupTooOld
        exp_alerts:
          - exp_labels: { severity: critical, stack: s }
            exp_annotations: { summary: "The newest backup of s is 8d 0h 0m 1s old" }
      - eval_time: 1m
        alertname: CertificateExpires
        exp_alerts:
          - exp_labels: { severity: critical, stack: s }
            exp_annotations: { summary: "The certificate of s ends in 23h 59m 59s" }
      - eval_time: 2m
        alertname: ContainerDown
        exp_alerts:
          - exp_labels: { severity: critical, stack: s, container: c }
            exp_annotations: { summary: "Container c of s does not answer" }
"#;

/// Those of a backup need one, and are seen where there is one.
fn every_expression_finds_its_numbers(host: &Host) {
    // It is asked every five minutes what the verdicts are.
    round(host);
    let told = host.ok(&format!("curl -sS {API}/rules"));
    let told: Value = serde_json::from_str(&told).unwrap();
    let rules = told["data"]["groups"][0]["rules"].as_array().unwrap();
    let mut expressions: Vec<String> = rules
        .iter()
        .map(|rule| rule["query"].as_str().unwrap().to_owned())
        .collect();
    // Debian has no Grafana: of what it would ask, Prometheus is asked itself.
    let dashboard: Value =
        serde_json::from_str(include_str!("../../provision/grafana/dashboard.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            query(host, expression);
            expressions.push(expression.to_owned());
        }
    }
    let mut names = std::collections::BTreeSet::new();
    for expression in &expressions {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names_of =
            words.filter(|word| word.starts_with("tavern_") || word.starts_with("process_"));
        names.extend(names_of.map(str::to_owned));
    }
    assert!(names.len() > 20, "{names:?}");
    for name in names.iter() {
        if name.starts_with("tavern_backup_") {
            assert!(crate::backup::NUMBERS.contains(&name.as_str()), "{name}");
            continue;
        }
        wait_for(host, name, &format!("count({name})"));
    }
}

/// A real one, through nginx: the app is away.
fn a_burst_of_errors_is_seen(host: &Host) {
    // All of its sockets: whoever asks at one has it started again.
    let units = "tavern-counter.socket tavern-counter.metrics.socket tavern-counter.service";
    host.ok(&format!("systemctl stop {units}"));
    host.ok("for i in $(seq 100); do curl -sk -o /dev/null https://localhost/flask/api/ping; done");
    let alert = "ALERTS{alertname=\"SiteErrors\",site=~\"counter.*\",alertstate=\"pending\"}";
    wait_for(host, "the errors to be seen", alert);
    let alert = "ALERTS{alertname=\"AppDown\",app=\"counter\"}";
    wait_for(host, "the app to be missed", alert);
    host.ok(&format!("systemctl start {units}"));
    wait_for(host, "the app to answer", "up{job=\"app-counter\"} == 1");
}

fn nobody_gets_near(host: &Host) {
    let listening = host.ok("ss -Hltn | awk '{ print $4 }'");
    for port in ["9090", "9179"] {
        let places: Vec<&str> = listening
            .lines()
            .filter(|place| place.ends_with(&format!(":{port}")))
            .collect();
        assert_eq!(places, [format!("127.0.0.1:{port}")], "{listening}");
        let address = (host.ip(), port.parse::<u16>().unwrap());
        let error = TcpStream::connect_timeout(&address.into(), Duration::from_secs(2));
        assert!(error.is_err(), "{address:?} answers a stranger");
    }
    // Nothing but numbers, and only by their paths.
    for path in [
        "",
        "/",
        "/metrics",
        "/metrics/counter",
        "/metrics/../../etc/passwd",
    ] {
        let code = host.ok(&format!(
            "curl -s --path-as-is -o /dev/null -w '%{{http_code}}' {RELAY}{path}"
        ));
        assert_eq!(code.trim(), "404", "{path}");
    }
    // And the sockets are as private as they were: nginx's user has none of them.
    let asked = host.sh(
        "for s in /run/tavern/*.metrics.sock; do runuser -u www-data -- \
         curl -sS --unix-socket $s http://localhost/metrics && echo $s; done",
    );
    assert_eq!(asked.stdout.trim(), "", "{asked}");
    let inspect = host.ok("docker inspect counter-prometheus");
    let inspect: Value = serde_json::from_str(&inspect).unwrap();
    let settings = &inspect[0]["HostConfig"];
    assert_eq!(settings["ReadonlyRootfs"], true);
    assert_eq!(settings["CapDrop"][0], "ALL");
    assert!(
        inspect[0]["Config"]["User"]
            .as_str()
            .unwrap()
            .starts_with("65534:")
    );
    for unit in ["tavern-metrics.service", "tavernd.service"] {
        let report = host.ok(&format!(
            "systemd-analyze security --no-pager {unit} | tail -n 1"
        ));
        let mut words = report.split_whitespace();
        let exposure: f64 = words.find_map(|word| word.parse().ok()).unwrap();
        assert!(exposure <= 2.5, "{unit}: {report}");
    }
}

fn it_is_kept(host: &Host) {
    let before = query(host, "process_start_time_seconds{job=\"prometheus\"}");
    host.ok("docker kill counter-prometheus");
    let ready = "curl -sf -o /dev/null http://127.0.0.1:9090/-/ready";
    host.wait("Prometheus to be back", Duration::from_secs(60), || {
        let output = host.sh(ready);
        output.success().then_some(()).ok_or(output.to_string())
    });
    wait_for(
        host,
        "it to be asked again",
        "process_start_time_seconds{job=\"prometheus\"}",
    );
    assert_eq!(before.len(), 1);
    // What it knew, it knows: it is in its volume.
    let old = "count_over_time(up{job=\"tavern\"}[10m]) > 4";
    wait_for(host, "its old numbers", old);
}

fn nothing_of_it_is_left(host: &Host) {
    let left = host.sh(
        "ls /etc/systemd/system/tavern-metrics.*; ls -d /etc/tavern/containers/counter-prometheus; \
         getent group tavernmetrics tavern-counter-prometheus; docker ps -aq --filter name=prometheus; \
         ss -Hltn | grep -E ':(9090|9179) '",
    );
    assert_eq!(left.stdout.trim(), "", "{left}");
}
