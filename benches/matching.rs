//! What matching costs, from the bytes of an event of about 2.5 KB to the rules that match it, beside its limit
//! measured in the same run: parsing those bytes into a full `Value`, and nothing else.
//!
//! With 10, 100, 1,000 and 10,000 rules of two kinds: *exact* (source, detail type, event source, two event names and a
//! key's ARN), and *mixed* (60 % of those, 15 % with a prefix, 10 % with `anything-but`, 10 % with a wildcard, 5 % with
//! `exists`). Then what the rules take in memory. The answers are compared with those of trying every rule on the
//! parsed event. Each figure has a bar and says whether it was met.
//!
//! `cargo bench --bench matching -- [--slices N] [--seed N]`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark stops at the first thing that is not as it should be, and prints"
)]

use std::process::Command;

use kmswatch::core::pattern::{Node, Pattern};
use kmswatch::core::rule::index::Index;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: usize = 1_000;

/// Rules, and events per CPU second that are wanted with so many.
const SIZES: [(usize, f64); 4] = [(10, 300_000.0), (100, 200_000.0), (1_000, 60_000.0), (10_000, 15_000.0)];

/// What all rules and their index may take, at the most rules.
const MEMORY_MIB: f64 = 64.0;

/// CPU seconds that one measurement lasts at least: the kernel's clock of them has a tick of some milliseconds.
const SLICE_SECONDS: f64 = 0.4;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let slices: usize = option("--slices").map_or(5, |n| n.parse().unwrap());
    let seed: u64 = option("--seed").map_or(7, |n| n.parse().unwrap());
    match (option("--memory"), option("--rules")) {
        (Some(kind), Some(count)) => memory(Kind::of(kind), count.parse().unwrap(), seed),
        _ => measure(slices, seed),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Exact,
    Mixed,
}

impl Kind {
    fn of(name: &str) -> Self {
        if name == "exact" { Self::Exact } else { Self::Mixed }
    }

    fn name(self) -> &'static str {
        if self == Self::Exact { "exact" } else { "mixed" }
    }
}

fn measure(slices: usize, seed: u64) {
    let mut world = World::new(seed);
    let bodies: Vec<Vec<u8>> = (0..EVENTS).map(|n| world.event(n).to_string().into_bytes()).collect();
    let bytes = bodies.iter().map(Vec::len).sum::<usize>() / EVENTS;
    println!("{EVENTS} events of {bytes} bytes; medians of {slices} slices; events per CPU second\n");

    let mut sets = vec![];
    for kind in [Kind::Exact, Kind::Mixed] {
        for (count, bar) in SIZES {
            let patterns = patterns(&world, kind, count, seed);
            let started = cpu_seconds();
            let index = Index::new(patterns.iter().enumerate());
            let load = cpu_seconds() - started;
            let hits = check(&index, &patterns, &bodies);
            sets.push((kind, count, bar, index, load, hits, vec![]));
        }
    }
    let mut parse = vec![];
    for _ in 0..slices {
        parse.push(rate(&bodies, |body| usize::from(serde_json::from_slice::<Value>(body).unwrap().is_object())));
        for (_, _, _, index, _, hits, rates) in &mut sets {
            let mut found = 0;
            rates.push(rate(&bodies, |body| {
                let matching = matching(index, body).len();
                found += matching;
                matching
            }));
            assert_eq!(found % *hits.max(&mut 1), 0, "the answers changed");
        }
    }
    let parse = median(&mut parse);
    println!("limit: full parse into a `Value`, no matching: {parse:>9.0}\n");
    println!("rules   kind    events/CPU s   of the limit      bar        hits   indexing");
    for (kind, count, bar, _, load, hits, rates) in &mut sets {
        let rate = median(rates);
        println!(
            "{count:>6}  {}  {rate:>12.0}  {:>11.2} x  {:>9.0} {}  {hits:>5}  {:>6.1} ms",
            kind.name(),
            rate / parse,
            *bar,
            verdict(rate >= *bar),
            *load * 1e3,
        );
    }
    println!("\nmemory of patterns and index, in a fresh process (resident, MiB)");
    for kind in [Kind::Exact, Kind::Mixed] {
        for (count, _) in SIZES.into_iter().filter(|(count, _)| *count >= 1_000) {
            let mib = memory_of(kind, count, seed);
            let bar =
                if count == 10_000 { format!("<= {MEMORY_MIB} {}", verdict(mib <= MEMORY_MIB)) } else { String::new() };
            println!("{count:>6}  {}  {mib:>6.1}  {bar}", kind.name());
        }
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// The rules that a body matches: all that is measured.
fn matching(index: &Index, body: &[u8]) -> Vec<usize> {
    let body = std::str::from_utf8(body).unwrap();
    let peek = index.peek(body).unwrap();
    index.possible(&peek)
}

/// Compares with trying every rule on the parsed event; gives how many matches there are.
fn check(index: &Index, patterns: &[Pattern], bodies: &[Vec<u8>]) -> usize {
    let mut hits = 0;
    for body in bodies {
        let document: Value = serde_json::from_slice(body).unwrap();
        let matches = |(number, pattern): (usize, &Pattern)| pattern.matches(&document).then_some(number);
        let expected: Vec<usize> = patterns.iter().enumerate().filter_map(matches).collect();
        assert_eq!(matching(index, body), expected);
        hits += expected.len();
    }
    hits
}

/// Events per CPU second.
fn rate(bodies: &[Vec<u8>], mut work: impl FnMut(&[u8]) -> usize) -> f64 {
    let started = cpu_seconds();
    let (mut done, mut sum) = (0, 0);
    loop {
        for body in bodies {
            sum += work(body);
        }
        done += bodies.len();
        let took = cpu_seconds() - started;
        if took >= SLICE_SECONDS {
            std::hint::black_box(sum);
            return done as f64 / took;
        }
    }
}

/// Time on a processor of this process' one thread, from the kernel.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn memory_of(kind: Kind, count: usize, seed: u64) -> f64 {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--memory", kind.name(), "--rules", &count.to_string(), "--seed", &seed.to_string()])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().trim().parse().unwrap()
}

/// The process of [`memory_of`].
fn memory(kind: Kind, count: usize, seed: u64) {
    let world = World::new(seed);
    let before = resident_mib();
    let patterns = patterns(&world, kind, count, seed);
    let index = Index::new(patterns.iter().enumerate());
    drop(patterns);
    println!("{}", resident_mib() - before);
    drop(index);
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}

fn patterns(world: &World, kind: Kind, count: usize, seed: u64) -> Vec<Pattern> {
    let mut random = Random(seed * 100 + count as u64);
    (0..count).map(|n| Pattern::compile(&Node::from_json(&world.rule(n, kind, &mut random))).unwrap()).collect()
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xFFFF,
            a & 0xFFFF,
            b >> 48,
            b & 0xFFFF_FFFF_FFFF
        )
    }

    fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(self.of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"))).collect()
    }
}

const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];

/// Event names and how many of a thousand events have them.
const NAMES: [(&str, usize); 17] = [
    ("Decrypt", 530),
    ("GenerateDataKey", 290),
    ("DescribeKey", 70),
    ("Encrypt", 20),
    ("ListAliases", 10),
    ("GetKeyPolicy", 10),
    ("GetKeyRotationStatus", 10),
    ("CreateGrant", 12),
    ("RetireGrant", 10),
    ("PutKeyPolicy", 4),
    ("EnableKeyRotation", 3),
    ("DisableKeyRotation", 3),
    ("DisableKey", 10),
    ("EnableKey", 4),
    ("ScheduleKeyDeletion", 8),
    ("CancelKeyDeletion", 3),
    ("DeleteAlias", 3),
];

const ROLES: [&str; 6] = ["orders-api", "nightly-backup", "Deploy", "reports", "eks-node", "search-indexer"];
const USERS: [&str; 5] = ["anna", "bela", "chris.ops", "svc-restore", "svc-build"];

const AGENTS: [&str; 4] = [
    "aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5 md/GOOS#linux md/GOARCH#amd64 api/kms#1.35.3",
    "Boto3/1.34.131 md/Botocore#1.34.131 ua/2.0 os/linux md/arch#x86_64 lang/python#3.11.9 cfg/retry-mode#legacy",
    "aws-sdk-java/2.25.60 Linux/5.10 OpenJDK_64-Bit_Server_VM/17.0.11 Java/17.0.11 vendor/N_A io/sync http/Apache",
    "APN/1.0 HashiCorp/1.0 Terraform/1.8.5 (+https://www.terraform.io) terraform-provider-aws/5.55.0 aws-sdk-go-v2/1.30.0",
];

/// What the events and the rules have in common.
struct World {
    keys: Vec<String>,
    random: Random,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        Self { keys: (0..24).map(|_| random.uuid()).collect(), random }
    }

    /// A call of KMS as EventBridge delivers it.
    fn event(&mut self, n: usize) -> Value {
        let random = &mut self.random;
        let mut at = random.below(1_000);
        let name = NAMES.iter().find(|(_, share)| {
            at.checked_sub(*share).is_none_or(|rest| {
                at = rest;
                false
            })
        });
        let name = name.unwrap_or(&NAMES[0]).0;
        let account = ACCOUNTS[0];
        let arn = format!("arn:aws:kms:eu-central-1:{account}:key/{}", self.keys[random.below(self.keys.len())]);
        let time = format!("2026-03-01T12:{:02}:{:02}Z", n / 60 % 60, n % 60);
        let role = random.of(&ROLES);
        let identity = if random.below(6) == 0 {
            let user = random.of(&USERS);
            json!({ "type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": format!("arn:aws:iam::{account}:user/{user}"),
                "accountId": account, "accessKeyId": "EXAMPLE", "userName": user })
        } else {
            let session = format!("{role}-{}", random.below(400));
            json!({ "type": "AssumedRole", "principalId": format!("AROAEXAMPLE:{session}"),
                "arn": format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"), "accountId": account, "accessKeyId": "EXAMPLE",
                "sessionContext": {
                    "sessionIssuer": { "type": "Role", "principalId": "AROAEXAMPLE", "arn": format!("arn:aws:iam::{account}:role/{role}"),
                        "accountId": account, "userName": role },
                    "attributes": { "creationDate": time, "mfaAuthenticated": "false" }
                } })
        };
        let mut detail = json!({
            "eventVersion": "1.11", "userIdentity": identity, "eventTime": time, "eventSource": "kms.amazonaws.com",
            "eventName": name, "awsRegion": "eu-central-1", "sourceIPAddress": format!("192.0.2.{}", random.below(250)),
            "userAgent": random.of(&AGENTS),
            "requestParameters": { "keyId": arn, "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
                "encryptionContext": { "aws:s3:arn": format!("arn:aws:s3:::example-bucket/part-{:05}", random.below(100_000)) } },
            "responseElements": null, "requestID": random.uuid(), "eventID": random.uuid(),
            "readOnly": name.starts_with("Decrypt") || name.starts_with("Ge") || name.starts_with("De"),
            "resources": [{ "accountId": account, "type": "AWS::KMS::Key", "ARN": arn }],
            "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": account, "eventCategory": "Management",
            "tlsDetails": { "tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": "kms.eu-central-1.amazonaws.com" },
            "additionalEventData": {}
        });
        if name == "PutKeyPolicy" {
            let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{account}:root") }, "Action": "kms:*", "Resource": "*" }] });
            detail["requestParameters"]["policy"] = serde_json::to_string_pretty(&policy).unwrap().into();
        }
        if name == "Decrypt" && random.below(50) == 0 {
            detail["errorCode"] = "AccessDenied".into();
            detail["errorMessage"] = format!("User is not authorized to perform kms:Decrypt on {arn}").into();
        }
        let mut event = json!({ "version": "0", "id": random.uuid(), "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.kms", "account": account, "time": time, "region": "eu-central-1", "resources": [], "detail": detail });
        let mut length = event.to_string().len();
        for more in 0.. {
            if length >= 2_440 {
                break;
            }
            let id = format!("{}{}", random.uuid(), random.uuid());
            event["detail"]["additionalEventData"][format!("keyMaterialId{more}")] = id.into();
            length += 93;
        }
        event
    }

    /// A rule. One in ten names a key that occurs in the events.
    fn rule(&self, n: usize, kind: Kind, random: &mut Random) -> Value {
        let account = random.of(&ACCOUNTS);
        let first = random.below(NAMES.len());
        let second = (first + 1 + random.below(NAMES.len() - 1)) % NAMES.len();
        let mut detail =
            json!({ "eventSource": ["kms.amazonaws.com"], "eventName": [NAMES[first].0, NAMES[second].0] });
        let key = if n.is_multiple_of(10) { self.keys[random.below(self.keys.len())].clone() } else { random.uuid() };
        let arn = json!({ "ARN": [format!("arn:aws:kms:eu-central-1:{account}:key/{key}")] });
        match if kind == Kind::Mixed { n * 37 % 100 } else { 0 } {
            0..60 => detail["resources"] = arn,
            60..75 => {
                let start = format!("arn:aws:sts::{account}:assumed-role/{}/{}", random.of(&ROLES), random.letters(2));
                detail["userIdentity"] = json!({ "arn": [{ "prefix": start }] });
            }
            75..85 => {
                let users: Vec<String> =
                    USERS.iter().take(3).map(|u| format!("arn:aws:iam::{account}:user/{u}")).collect();
                detail["userIdentity"] = json!({ "arn": [{ "anything-but": users }] });
                detail["resources"] = arn;
            }
            85..95 => {
                let tool = random.of(&["Terraform", "Boto3", "Java", "curl", "kubectl"]);
                detail["userAgent"] = json!([{ "wildcard": format!("*{tool}/{}*", random.below(1_000)) }]);
            }
            _ => {
                detail["errorCode"] = json!([{ "exists": true }]);
                detail["resources"] = arn;
            }
        }
        json!({ "source": ["aws.kms"], "detail-type": ["AWS API Call via CloudTrail"], "detail": detail })
    }
}
