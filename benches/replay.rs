//! What a replay costs beside its limit, unpacking alone, measured in the same run:
//!
//! - a seeded archive as CloudTrail lays it out (64 `.json.gz` files, 1 GB of JSON, 5 % of the events from KMS) with the
//!   built-in rules, against libdeflate unpacking the same files into a buffer that is kept: bytes of JSON per CPU second;
//! - wall time with one reader and with two;
//! - peak memory.
//!
//! `cargo bench --bench replay -- [--bytes N] [--files N] [--rounds N] [--kms PERCENT] [--binary PATH]`. The archive is kept in
//! `target/` for the next run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark stops at the first thing that is not as it should be, and prints"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 20_260_301;
const SHARE_BAR: f64 = 0.35;
const MEMORY_BAR: f64 = 100.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.first().map(String::as_str) == Some("--unpack") {
        return unpack(Path::new(&args[1]));
    }
    let number = |name: &str, default: u64| option(&args, name).map_or(default, |n| n.parse().unwrap());
    let (bytes, files) = (number("--bytes", 1_000_000_000), number("--files", 64));
    let (rounds, kms) = (number("--rounds", 3), number("--kms", 5));
    let binary = option(&args, "--binary").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_kmswatch")), PathBuf::from);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/bench-trail-{bytes}-{files}-{kms}"));
    let text = archive(&folder, bytes, files, kms);
    let megabytes = text as f64 / 1e6;
    println!(
        "{files} files, {megabytes:.0} MB of JSON, {:.0} MB packed, {kms} % from KMS",
        size_of(&folder) as f64 / 1e6
    );

    let mut best = [f64::MAX; 3];
    let mut walls = [f64::MAX; 3];
    let mut peak: f64 = 0.0;
    for round in 0..rounds {
        let exe = std::env::current_exe().unwrap();
        let limit = measure(Command::new(exe).arg("--unpack").arg(&folder));
        let one = measure(Command::new(&binary).args(["replay", "--format", "json", "--threads", "1"]).arg(&folder));
        let two = measure(Command::new(&binary).args(["replay", "--format", "json", "--threads", "2"]).arg(&folder));
        println!(
            "round {}: unpacking alone {:.2} CPU s; replay {:.2} CPU s, {:.2} s wall; with two readers {:.2} CPU s, {:.2} s wall, peak {:.1} MiB: {}",
            round + 1,
            limit.cpu,
            one.cpu,
            one.wall,
            two.cpu,
            two.wall,
            two.peak,
            two.last.trim()
        );
        for (at, run) in [limit, one, two].iter().enumerate() {
            best[at] = best[at].min(run.cpu);
            walls[at] = walls[at].min(run.wall);
            peak = peak.max(if at == 0 { 0.0 } else { run.peak });
        }
    }
    let share = best[0] / best[1];
    println!(
        "unpacking alone {:.0} MB per CPU s (libdeflate); replay {:.0} MB per CPU s with one reader, {:.0} with two",
        megabytes / best[0],
        megabytes / best[1],
        megabytes / best[2]
    );
    println!("share {:.1} % (bar {:.0} %): {}", share * 100.0, SHARE_BAR * 100.0, met(share >= SHARE_BAR));
    println!("wall {:.2} s with one reader, {:.2} s with two ({:.2} x)", walls[1], walls[2], walls[1] / walls[2]);
    println!("peak memory {peak:.1} MiB (bar {MEMORY_BAR:.0}): {}", met(peak <= MEMORY_BAR));
}

fn option(args: &[String], name: &str) -> Option<String> {
    args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).cloned()
}

fn met(yes: bool) -> &'static str {
    if yes { "met" } else { "NOT met" }
}

struct Run {
    cpu: f64,
    wall: f64,
    peak: f64,
    last: String,
}

/// CPU seconds of all children that have ended.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // Fields 16 and 17 of the line, in hundredths of a second.
    (fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap()) / 100.0
}

fn measure(command: &mut Command) -> Run {
    let before = children_cpu();
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let mut out = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut out, &mut text).unwrap();
        text
    });
    let mut peak: f64 = 0.0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let known = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = known.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        std::thread::sleep(Duration::from_millis(5));
    };
    let wall = started.elapsed().as_secs_f64();
    assert!(status.success(), "{status}");
    let text = reading.join().unwrap();
    Run { cpu: children_cpu() - before, wall, peak, last: text.lines().last().unwrap_or_default().to_owned() }
}

fn files_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "gz") {
            found.push(path);
        }
    }
}

fn size_of(folder: &Path) -> u64 {
    let mut files = vec![];
    files_in(folder, &mut files);
    files.iter().map(|file| file.metadata().unwrap().len()).sum()
}

/// The limit: every file unpacked, nothing looked at.
fn unpack(folder: &Path) {
    let mut files = vec![];
    files_in(folder, &mut files);
    let (mut packed, mut text, mut total) = (vec![], vec![], 0);
    let mut decompressor = libdeflater::Decompressor::new();
    for file in files {
        packed.clear();
        std::io::Read::read_to_end(&mut std::fs::File::open(file).unwrap(), &mut packed).unwrap();
        let length = u32::from_le_bytes(*packed.last_chunk().unwrap()) as usize;
        if text.len() < length {
            text.resize(length, 0);
        }
        total += decompressor.gzip_decompress(&packed, &mut text[..length]).unwrap();
    }
    println!("{total}");
}

/// Small, quick and the same everywhere (xorshift64*).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }

    /// By weight.
    fn weighted(&mut self, items: &[(&'static str, &'static str, bool, u64)]) -> (&'static str, &'static str, bool) {
        let mut at = self.below(items.iter().map(|item| item.3).sum());
        for (service, name, read_only, weight) in items {
            if at < *weight {
                return (service, name, *read_only);
            }
            at -= weight;
        }
        unreachable!("the weights add up")
    }

    fn hex(&mut self, digits: usize) -> String {
        let mut text = String::new();
        while text.len() < digits {
            write!(text, "{:016x}", self.next()).unwrap();
        }
        text.truncate(digits);
        text
    }

    fn uuid(&mut self) -> String {
        format!("{}-{}-{}-{}-{}", self.hex(8), self.hex(4), self.hex(4), self.hex(4), self.hex(12))
    }
}

const REGIONS: &[&str] = &["eu-central-1", "eu-central-1", "us-east-1", "ap-southeast-2"];
const ACCOUNTS: &[&str] = &["111122223333", "444455556666"];
const ROLES: &[&str] =
    &["node-group", "orders-worker", "deployer", "lake-loader", "payments", "backups", "reports", "web"];
const USERS: &[&str] = &["erin", "frank", "grace", "heidi", "ci"];
const AGENTS: &[&str] = &[
    "aws-sdk-rust/1.3.3 os/linux lang/rust/1.95.0 api/kms/1.129.0 md/arch#x86_64 cfg/retry-mode#standard",
    "Boto3/1.40.2 md/Botocore#1.40.2 ua/2.1 os/linux#6.1.0-28 md/arch#aarch64 lang/python#3.13.1 md/pyimpl#CPython Botocore/1.40.2",
    "aws-sdk-java/2.31.7 md/io#sync md/http#Apache ua/2.1 os/Linux#6.1.0 lang/java#21.0.6 md/OpenJDK_64-Bit_Server_VM#21.0.6+7-LTS",
];
const OTHERS: &[(&str, &str, bool, u64)] = &[
    ("s3", "GetObject", true, 24),
    ("s3", "PutObject", false, 9),
    ("s3", "HeadObject", true, 5),
    ("sts", "AssumeRole", true, 14),
    ("sts", "GetCallerIdentity", true, 3),
    ("ec2", "DescribeInstances", true, 10),
    ("ec2", "DescribeVolumes", true, 5),
    ("ec2", "RunInstances", false, 1),
    ("logs", "CreateLogStream", false, 5),
    ("lambda", "Invoke", false, 5),
    ("iam", "GetRole", true, 3),
    ("dynamodb", "DescribeTable", true, 4),
    ("ssm", "GetParameter", true, 5),
    ("secretsmanager", "GetSecretValue", true, 3),
    ("cloudtrail", "LookupEvents", true, 1),
    ("ecr", "BatchGetImage", true, 2),
];
/// Ten thousandths, so that dangers are as rare as they are.
const KMS: &[(&str, &str, bool, u64)] = &[
    ("kms", "Decrypt", true, 5_300),
    ("kms", "GenerateDataKey", true, 2_900),
    ("kms", "DescribeKey", true, 900),
    ("kms", "Encrypt", true, 300),
    ("kms", "ListAliases", true, 200),
    ("kms", "CreateGrant", false, 150),
    ("kms", "RetireGrant", false, 100),
    ("kms", "PutKeyPolicy", false, 30),
    ("kms", "DisableKey", false, 40),
    ("kms", "EnableKey", false, 20),
    ("kms", "ScheduleKeyDeletion", false, 30),
    ("kms", "CancelKeyDeletion", false, 10),
];

struct Writer {
    chance: Chance,
    account: &'static str,
    region: &'static str,
    keys: Vec<String>,
}

impl Writer {
    fn identity(&mut self, time: &str) -> (String, String) {
        let account = self.account;
        match self.chance.below(100) {
            0..74 => {
                let role = self.chance.of(ROLES);
                let session = format!("{role}-{}", self.chance.below(400));
                let arn = format!("arn:aws:sts::{account}:assumed-role/{role}/{session}");
                let json = format!(
                    r#"{{"type":"AssumedRole","principalId":"AROAEXAMPLE{role}:{session}","arn":"{arn}","accountId":"{account}","accessKeyId":"ASIAEXAMPLE{}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLE{role}","arn":"arn:aws:iam::{account}:role/{role}","accountId":"{account}","userName":"{role}"}},"attributes":{{"creationDate":"{time}","mfaAuthenticated":"false"}},"ec2RoleDelivery":"2.0"}}}}"#,
                    self.chance.hex(9).to_uppercase()
                );
                (json, arn)
            }
            74..87 => {
                (r#"{"type":"AWSService","invokedBy":"s3.amazonaws.com"}"#.to_owned(), "s3.amazonaws.com".to_owned())
            }
            _ => {
                let user = self.chance.of(USERS);
                let arn = format!("arn:aws:iam::{account}:user/{user}");
                let json = format!(
                    r#"{{"type":"IAMUser","principalId":"AIDAEXAMPLE{user}","arn":"{arn}","accountId":"{account}","accessKeyId":"AKIAEXAMPLE{user}","userName":"{user}"}}"#
                );
                (json, arn)
            }
        }
    }

    fn record(&mut self, out: &mut String, time: &str, kms: u64) {
        let (identity, caller) = self.identity(time);
        let (account, region) = (self.account, self.region);
        let (service, name, read_only) = self.chance_of(kms);
        let request;
        let (mut response, mut resources, mut extra, mut error) =
            ("null".to_owned(), String::new(), String::new(), String::new());
        match service {
            "kms" => {
                let at = usize::try_from(self.chance.below(self.keys.len() as u64)).unwrap();
                let arn = format!("arn:aws:kms:{region}:{account}:key/{}", self.keys[at]);
                request = match name {
                    "Decrypt" => format!(
                        r#"{{"encryptionContext":{{"aws:s3:arn":"arn:aws:s3:::lake-{account}/dt=2026-03-01/part-{:05}.parquet"}},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}}"#,
                        self.chance.below(100_000)
                    ),
                    "GenerateDataKey" => format!(
                        r#"{{"encryptionContext":{{"aws:s3:arn":"arn:aws:s3:::lake-{account}"}},"keyId":"{arn}","keySpec":"AES_256"}}"#
                    ),
                    "PutKeyPolicy" => format!(
                        r#"{{"keyId":"{arn}","policyName":"default","policy":"{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{{\"Effect\": \"Allow\", \"Principal\": {{\"AWS\": \"arn:aws:iam::{account}:root\"}}, \"Action\": \"kms:*\", \"Resource\": \"*\"}}]\n}}"}}"#
                    ),
                    "CreateGrant" => format!(
                        r#"{{"keyId":"{arn}","granteePrincipal":"arn:aws:iam::{account}:role/{}","operations":["Decrypt","GenerateDataKey"],"constraints":{{"encryptionContextSubset":{{"aws:ebs:id":"vol-0{}"}}}}}}"#,
                        self.chance.of(ROLES),
                        self.chance.hex(16)
                    ),
                    "ScheduleKeyDeletion" => {
                        response = format!(
                            r#"{{"keyId":"{arn}","deletionDate":"Mar 8, 2026, 12:00:00 AM","keyState":"PendingDeletion","pendingWindowInDays":7}}"#
                        );
                        format!(r#"{{"keyId":"{arn}","pendingWindowInDays":7}}"#)
                    }
                    _ => format!(r#"{{"keyId":"{arn}"}}"#),
                };
                resources =
                    format!(r#","resources":[{{"accountId":"{account}","type":"AWS::KMS::Key","ARN":"{arn}"}}]"#);
                if name == "Decrypt" && self.chance.below(36) == 0 {
                    error = format!(
                        r#""errorCode":"AccessDenied","errorMessage":"User: {caller} is not authorized to perform: kms:Decrypt on resource: {arn} because no identity-based policy allows the kms:Decrypt action","#
                    );
                }
            }
            "s3" => {
                let key = format!(
                    "dt=2026-03-{:02}/{}/part-{:05}.parquet",
                    1 + self.chance.below(28),
                    self.chance.hex(8),
                    self.chance.below(100_000)
                );
                request = format!(
                    r#"{{"bucketName":"lake-{account}","Host":"lake-{account}.s3.{region}.amazonaws.com","key":"{key}"}}"#
                );
                resources = format!(
                    r#","resources":[{{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::lake-{account}/{key}"}},{{"accountId":"{account}","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::lake-{account}"}}]"#
                );
                extra = format!(
                    r#""additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"{}","bytesTransferredOut":{}}},"#,
                    self.chance.hex(72),
                    self.chance.below(9_999_999)
                );
            }
            "sts" if name == "AssumeRole" => {
                let role = self.chance.of(ROLES);
                request = format!(
                    r#"{{"roleArn":"arn:aws:iam::{account}:role/{role}","roleSessionName":"{role}-{}","durationSeconds":3600}}"#,
                    self.chance.below(400)
                );
                response = format!(
                    r#"{{"credentials":{{"accessKeyId":"ASIAEXAMPLE{}","sessionToken":"{}","expiration":"Mar 1, 2026, 1:00:00 AM"}},"assumedRoleUser":{{"assumedRoleId":"AROAEXAMPLE:{role}","arn":"arn:aws:sts::{account}:assumed-role/{role}/{role}"}}}}"#,
                    self.chance.hex(9).to_uppercase(),
                    self.chance.hex(360)
                );
            }
            "ec2" => {
                let hosts: Vec<String> = (0..=self.chance.below(12))
                    .map(|_| format!(r#"{{"instanceId":"i-0{}"}}"#, self.chance.hex(16)))
                    .collect();
                request = format!(
                    r#"{{"instancesSet":{{"items":[{}]}},"filterSet":{{"items":[{{"name":"instance-state-name","valueSet":{{"items":[{{"value":"running"}}]}}}}]}}}}"#,
                    hosts.join(",")
                );
            }
            _ => {
                request = format!(
                    r#"{{"name":"/prod/{}/{}","maxResults":{},"nextToken":"{}"}}"#,
                    self.chance.of(ROLES),
                    self.chance.below(999),
                    10 + self.chance.below(90),
                    self.chance.hex(64)
                );
            }
        }
        let ip = format!("198.51.{}.{}", self.chance.below(100), self.chance.below(254));
        write!(
            out,
            r#"{{"eventVersion":"1.11","userIdentity":{identity},"eventTime":"{time}","eventSource":"{service}.amazonaws.com","eventName":"{name}","awsRegion":"{region}","sourceIPAddress":"{ip}","userAgent":"{}",{error}"requestParameters":{request},"responseElements":{response},{extra}"requestID":"{}","eventID":"{}","readOnly":{read_only}{resources},"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"{account}","eventCategory":"Management","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{service}.{region}.amazonaws.com"}}}}"#,
            self.chance.of(AGENTS),
            self.chance.uuid(),
            self.chance.uuid(),
        )
        .unwrap();
    }

    fn chance_of(&mut self, kms: u64) -> (&'static str, &'static str, bool) {
        if self.chance.below(100) < kms { self.chance.weighted(KMS) } else { self.chance.weighted(OTHERS) }
    }
}

/// Makes the archive unless it is there, and gives the bytes of JSON in it.
fn archive(folder: &Path, bytes: u64, files: u64, kms: u64) -> u64 {
    let done = folder.join("bytes.txt");
    if let Ok(text) = std::fs::read_to_string(&done) {
        return text.trim().parse().unwrap();
    }
    let each = bytes / files;
    let total: u64 = std::thread::scope(|scope| {
        let halves: Vec<_> = (0..2)
            .map(|half| {
                scope.spawn(move || {
                    (0..files).filter(|n| n % 2 == half).map(|n| file(folder, n, each, kms)).sum::<u64>()
                })
            })
            .collect();
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    std::fs::write(done, total.to_string()).unwrap();
    total
}

fn file(folder: &Path, number: u64, bytes: u64, kms: u64) -> u64 {
    // The same keys in every file of an account.
    let mut fixed = Chance(SEED);
    let keys = (0..24).map(|_| fixed.uuid()).collect();
    let mut chance = Chance(SEED ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (account, region) = (chance.of(ACCOUNTS), chance.of(REGIONS));
    let mut writer = Writer { chance, account, region, keys };
    let (day, hour) = (1 + number / 24 % 28, number % 24);
    let mut text = String::with_capacity(usize::try_from(bytes).unwrap() + 10_000);
    text.push_str("{\"Records\":[");
    while (text.len() as u64) < bytes {
        if !text.ends_with('[') {
            text.push(',');
        }
        let second = text.len() as u64 * 3599 / bytes;
        let time = format!("2026-03-{day:02}T{hour:02}:{:02}:{:02}Z", second / 60 % 60, second % 60);
        writer.record(&mut text, &time, kms);
    }
    text.push_str("]}");
    let place = folder.join(format!("AWSLogs/{account}/CloudTrail/{region}/2026/03/{day:02}"));
    std::fs::create_dir_all(&place).unwrap();
    let name = format!("{account}_CloudTrail_{region}_202603{day:02}T{hour:02}00Z_{number:016}.json.gz");
    let mut packer = GzEncoder::new(std::fs::File::create(place.join(name)).unwrap(), Compression::new(6));
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap();
    text.len() as u64
}
