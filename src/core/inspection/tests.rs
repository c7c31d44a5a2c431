use super::*;

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn whole() -> Inspection {
    let mut inspection = Inspection::of(ARN, time("2026-11-23T12:00:00Z"));
    inspection.details = Part::Known(Details {
        id: "1234abcd-12ab-34cd-56ef-1234567890ab".to_owned(),
        state: Some("PendingDeletion".to_owned()),
        manager: Some("CUSTOMER".to_owned()),
        origin: Some("AWS_KMS".to_owned()),
        spec: Some("SYMMETRIC_DEFAULT".to_owned()),
        deletion_date: Some(time("2026-12-01T00:00:00Z")),
        ..Details::default()
    });
    inspection.aliases = Part::Known(vec!["alias/prod".to_owned()]);
    inspection.tags = Part::Denied;
    inspection
}

#[test]
fn an_inspection_is_also_what_a_lookup_answers() {
    let Lookup::Known(details) = whole().lookup() else { panic!("not known") };
    assert_eq!(details.state.as_deref(), Some("PendingDeletion"));
    assert_eq!(details.deletion_date, Some(time("2026-12-01T00:00:00Z")));
    assert_eq!(details.aliases, ["alias/prod"]);
    assert_eq!(details.unread.into_iter().collect::<Vec<_>>(), [("tags".to_owned(), "denied".to_owned())]);
    let gone = Inspection { details: Part::NotFound, ..whole() };
    assert!(gone.is_gone() && gone.lookup() == Lookup::NotFound);
}

#[test]
fn what_was_not_asked_for_is_no_gap() {
    assert_eq!(whole().gaps(), [("kms:ListResourceTags", "denied")]);
}

#[test]
fn an_inspection_survives_a_file() {
    let mut inspection = whole();
    inspection.last_usage = Part::Failed("no answer in time".to_owned());
    inspection.rotations = Part::Known(vec![Material { rotated: Some(inspection.read_at), ..Material::default() }]);
    let text = serde_json::to_string(&inspection).unwrap();
    assert_eq!(serde_json::from_str::<Inspection>(&text).unwrap(), inspection);
    assert_eq!(inspection.last_rotation(), Some(inspection.read_at));
}

#[test]
fn only_symmetric_keys_of_kms_itself_rotate_by_themselves() {
    for (origin, spec, has, by_itself) in [
        ("AWS_KMS", "SYMMETRIC_DEFAULT", true, true),
        ("EXTERNAL", "SYMMETRIC_DEFAULT", true, false),
        ("AWS_CLOUDHSM", "SYMMETRIC_DEFAULT", false, false),
        ("AWS_KMS", "RSA_2048", false, false),
        ("AWS_KMS", "HMAC_256", false, false),
    ] {
        let details = Details { origin: Some(origin.to_owned()), spec: Some(spec.to_owned()), ..Details::default() };
        assert_eq!((details.has_rotations(), details.rotates_by_itself()), (Some(has), Some(by_itself)), "{spec}");
    }
    assert_eq!(Details::default().has_rotations(), None);
}
