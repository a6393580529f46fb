//! What strict graders say of an installed host with a certificate of the local CA, under a name. That the pages
//! work under the policies which are graded here is seen in a browser, in `bare`.

use std::path::Path;
use std::process::Command;

use crate::site::{edit, installed};
use crate::support::lab::{Host, Image};

const NAME: &str = "tavern.example.net";

/// The CA of the host, for whoever is to trust it.
const AUTHORITY: &str = "/etc/tavern/local-ca/fullchain.pem";

/// The scan, below the directory that tests/run installs it in.
const OBSERVATORY: &str = "node_modules/@mdn/mdn-http-observatory/src/scan.js";

/// A host by name, whose certificate its local CA has signed.
fn graded(image: Image, name: &str) -> Host {
    let host = installed(image, name);
    edit(&host, "hosts = [\"*\"]", &format!("hosts = [\"{NAME}\"]"));
    edit(&host, "issuer = \"self-signed\"", "issuer = \"local-ca\"");
    host.ok("tavernctl install --yes");
    host
}

#[test]
fn debian_12_is_graded_by_sslyze_and_the_observatory() {
    let host = graded(Image::BookwormPrepared, "graders12");
    let here = tempfile::tempdir().expect("a temporary directory");
    let authority = here.path().join("ca.pem");
    std::fs::write(&authority, host.read(AUTHORITY)).expect("a file in it");
    sslyze_says_compliant(&host, &authority);
    for path in [
        "/",
        "/open/",
        "/close/",
        "/flask/",
        "/flask/api/ping",
        "/flask/swagger/",
    ] {
        the_observatory_gives_the_highest_grade(&host, here.path(), path);
    }
}

/// Debian 13 has the release of testssl.sh that grades.
#[test]
fn debian_13_is_graded_by_testssl() {
    let host = graded(Image::TrixiePrepared, "graders13");
    host.ok("apt-get -qq update && apt-get -qq install -y --no-install-recommends testssl.sh");
    host.ok(&format!("echo '127.0.0.2 {NAME}' >> /etc/hosts"));
    // Its exit code counts findings.
    let report = host.sh(&format!(
        "cd /root && testssl --quiet --color 0 --ip 127.0.0.2 --add-ca {AUTHORITY} --jsonfile findings.json https://{NAME}"
    ));
    let grade = report
        .stdout
        .lines()
        .find(|line| line.contains("Overall Grade"));
    assert!(
        grade.is_some_and(|line| line.trim_end().ends_with("A+")),
        "{report}"
    );
    let findings = host.ok(
        "jq -r '.[] | select(.severity | IN(\"LOW\", \"MEDIUM\", \"HIGH\", \"CRITICAL\")) | .id' /root/findings.json",
    );
    let left: Vec<&str> = findings
        .lines()
        .filter(|id| !PRIVATE.contains(id))
        .collect();
    assert!(left.is_empty(), "{left:?} in {report}");
    // It looked at all of it, at the chain with the CA that it was given too.
    let judged = host.ok(
        "jq -r '.[] | select(.id | IN(\"cert_chain_of_trust\", \"HSTS_time\", \"overall_grade\")) | .finding' /root/findings.json",
    );
    assert_eq!(judged.lines().count(), 3, "{judged}");
    assert!(
        judged.contains("passed") && judged.contains("A+"),
        "{judged}"
    );
}

/// A private CA names nobody to ask, and a name of the lab says nothing to DNS.
const PRIVATE: &[&str] = &["cert_revocation", "DNS_CAArecord"];

fn sslyze_says_compliant(host: &Host, authority: &Path) {
    let output = Command::new(tool("TAVERN_SSLYZE"))
        .args(["--mozilla_config=intermediate", "--certinfo_ca_file"])
        .arg(authority)
        .arg(format!("{NAME}:443{{{}}}", host.ip()))
        .output()
        .expect("sslyze is installed by tests/run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("OK - Compliant."), "{said}");
}

/// It asks ports 80 and 443 of a name: in the host's network, with a hosts file of its own.
fn the_observatory_gives_the_highest_grade(host: &Host, here: &Path, path: &str) {
    let hosts = here.join("hosts");
    std::fs::write(&hosts, format!("127.0.0.2 {NAME} localhost\n")).expect("a hosts file");
    let pid = Command::new("docker")
        .args(["inspect", "--format", "{{.State.Pid}}", host.container()])
        .output()
        .expect("docker inspect");
    let network = format!(
        "--net=/proc/{}/ns/net",
        String::from_utf8_lossy(&pid.stdout).trim()
    );
    let output = Command::new("unshare")
        .args([
            "--mount",
            "bash",
            "-euc",
            "mount --bind \"$1\" /etc/hosts; shift; exec nsenter \"$@\"",
            "-",
        ])
        .arg(&hosts)
        .args([
            &network,
            "node",
            &format!("{}/{OBSERVATORY}", tool("TAVERN_OBSERVATORY")),
            &format!("{NAME}{path}"),
        ])
        .env("NODE_EXTRA_CA_CERTS", here.join("ca.pem"))
        .output()
        .expect("unshare, bash, nsenter");
    let said = String::from_utf8_lossy(&output.stdout);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| {
        panic!(
            "{path}: {error}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    let scan = &report["scan"];
    let passed = (scan["testsPassed"].as_u64(), scan["testsQuantity"].as_u64());
    assert!(
        scan["grade"] == "A+"
            && scan["score"].as_i64() >= Some(130)
            && passed == (Some(10), Some(10)),
        "{path}: {report:#}"
    );
}

/// No other than those that are pinned: what a grader finds depends on its version.
fn tool(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run tests/run, which installs the pinned graders")
    })
}
