//! What knowing the use of keys costs, beside its limits: the memory of 10,000 keys with 100 principals each, the time of one
//! message, the share of a drain that it takes, and whether what is written reads back after a restart.
//!
//! `cargo bench --bench usage`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark stops at the first thing that is not as it should be, and prints"
)]

use std::fs;
use std::process::Command;
use std::time::Instant;

use jiff::Timestamp;
use kmswatch::core::decide::Policy;
use kmswatch::core::rule::{RuleSet, builtin};
use kmswatch::core::usage::{self, KeyUsage, Sighting, Usage};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 10_000;
const PRINCIPALS: usize = 100;
const MEMORY_MIB: f64 = 64.0;
/// Of the time that passing a message over takes.
const SHARE_PERCENT: f64 = 5.0;
/// Messages a second that the daemon looks at in full: more than it, and only a part of them is.
const LOOKED_AT: f64 = 500.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [what, pool] = args.as_slice() {
        std::process::exit(i32::from(!memory(what, pool.parse().unwrap())));
    }
    let shared = in_a_fresh_process("principals shared by keys", 20_000);
    let alone = in_a_fresh_process("each principal of one key only", usize::MAX);
    let fast = time();
    if !(shared && alone && fast) {
        std::process::exit(1);
    }
}

/// Memory that was freed here would be used again there.
fn in_a_fresh_process(what: &str, pool: usize) -> bool {
    let me = std::env::current_exe().unwrap();
    Command::new(me).args([what, &pool.to_string()]).status().unwrap().success()
}

fn at(minute: usize) -> Timestamp {
    Timestamp::from_second(1_793_610_000 + 60 * i64::try_from(minute).unwrap()).unwrap()
}

fn arn(key: usize) -> String {
    format!("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-{key:012}")
}

/// Fills an index; `pool` is how many principals there are in all.
fn fill(pool: usize) -> Usage {
    let mut usage = Usage::default();
    for round in 0..PRINCIPALS {
        for key in 0..KEYS {
            let number = (key * PRINCIPALS + round) % pool;
            let who = format!("arn:aws:iam::111122223333:role/team-{:03}/service-{number:07}", number % 400);
            let hints = if round % 25 == 0 { vec![format!("aws:ebs:id=vol-{key:017x}")] } else { vec![] };
            usage.learn(&Sighting { key: arn(key).into(), at: at(round), who: Some(who.into()), hints });
        }
    }
    usage
}

fn memory(what: &str, pool: usize) -> bool {
    let before = resident();
    let mut usage = fill(pool);
    let mib = (resident() - before) / (1024.0 * 1024.0);
    let known = usage.of(&arn(7), at(PRINCIPALS)).unwrap();
    let fine = mib <= MEMORY_MIB;
    println!(
        "{KEYS} keys x {PRINCIPALS} principals, {what}: {mib:.1} MiB (limit {MEMORY_MIB}){}; {} principals known of one key",
        verdict(fine),
        known.users.len()
    );
    fine & survives(&mut usage)
}

/// What is written reads back.
fn survives(usage: &mut Usage) -> bool {
    let mut again = Usage::default();
    let (mut bytes, mut keys, started) = (0, 0, Instant::now());
    loop {
        let page = usage.unwritten(at(PRINCIPALS), 200);
        if page.is_empty() {
            break;
        }
        for (arn, known) in page {
            let text = serde_json::to_string(&known).unwrap();
            (bytes, keys) = (bytes + text.len(), keys + 1);
            again.restore(&arn, &serde_json::from_str::<KeyUsage>(&text).unwrap());
        }
    }
    let same = (0..KEYS).all(|key| usage.of(&arn(key), at(PRINCIPALS)) == again.of(&arn(key), at(PRINCIPALS)));
    println!(
        "  a restart: {keys} keys, {:.1} MiB written and read back in {:.1} s{}",
        bytes as f64 / (1024.0 * 1024.0),
        started.elapsed().as_secs_f64(),
        verdict(same)
    );
    same
}

fn time() -> bool {
    const MESSAGES: usize = 100_000;
    let bodies: Vec<String> = (0..1_000).map(body).collect();
    let policy = Policy { rules: RuleSet::new(builtin().to_vec()), ..Policy::default() };
    let each = |work: &mut dyn FnMut(&str)| {
        let started = Instant::now();
        for n in 0..MESSAGES {
            work(&bodies[n % bodies.len()]);
        }
        started.elapsed().as_secs_f64() / MESSAGES as f64
    };
    let mut passed = 0;
    let pass = each(&mut |body| passed += usize::from(policy.passes_over(body)));
    let mut usage = fill(20_000);
    let look = each(&mut |body| usage::peeked(body, |sighting| usage.learn(sighting)));
    assert_eq!(passed, MESSAGES);
    // At full speed one core passes so many over in a second, and looks at a bounded number of them.
    let rate = 1.0 / pass;
    let share = 100.0 * look * LOOKED_AT.min(rate) / (1.0 + look * LOOKED_AT.min(rate));
    let fine = share <= SHARE_PERCENT;
    println!("a message passed over: {:.2} us; its use learnt as well: {:.2} us more", pass * 1e6, look * 1e6);
    println!(
        "share of a drain at {rate:.0} messages a second: {share:.2} % (limit {SHARE_PERCENT} %){}",
        verdict(fine)
    );
    fine
}

fn body(n: usize) -> String {
    let role = format!("service-{:07}", n * 7);
    json!({
        "version": "0", "id": format!("id-{n}"), "detail-type": "AWS API Call via CloudTrail", "source": "aws.kms",
        "account": "111122223333", "time": "2026-11-02T09:00:00Z", "region": "eu-central-1", "resources": [],
        "detail": {
            "eventVersion": "1.11", "eventTime": "2026-11-02T09:00:00Z", "eventSource": "kms.amazonaws.com",
            "eventName": "Decrypt", "awsRegion": "eu-central-1", "sourceIPAddress": "203.0.113.7", "userAgent": "aws-sdk-java/2.31",
            "userIdentity": {
                "type": "AssumedRole", "accountId": "111122223333", "principalId": "AROAEXAMPLE:session",
                "arn": format!("arn:aws:sts::111122223333:assumed-role/{role}/session"),
                "sessionContext": { "sessionIssuer": {
                    "type": "Role", "arn": format!("arn:aws:iam::111122223333:role/{role}"), "userName": role
                } }
            },
            "requestParameters": {
                "encryptionAlgorithm": "SYMMETRIC_DEFAULT", "keyId": arn(n * 3),
                "encryptionContext": { "aws:ebs:id": format!("vol-{n:017x}") }
            },
            "responseElements": null, "requestID": format!("request-{n}"), "eventID": format!("event-{n}"), "readOnly": true,
            "resources": [{ "accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": arn(n * 3) }],
            "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": "111122223333", "eventCategory": "Management"
        }
    })
    .to_string()
}

/// Resident memory of this process, in bytes.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

fn verdict(fine: bool) -> &'static str {
    if fine { " - met" } else { " - MISSED" }
}
