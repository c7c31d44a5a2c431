//! What holds of any policy.

use proptest::prelude::*;

use super::*;

fn principal() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("*")),
        Just(json!({ "AWS": APP })),
        Just(json!({ "AWS": [HOME, STRANGER] })),
        Just(json!({ "AWS": "*" })),
        Just(json!({ "Service": "s3.amazonaws.com" })),
        Just(json!({ "AWS": [ADMIN, "AROAEXAMPLEEXAMPLE00"], "Federated": "accounts.example.com" })),
        Just(json!(7)),
    ]
}

fn condition() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(Value::Null),
        1 => Just(json!({ "StringEquals": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" } })),
        1 => Just(json!({ "StringNotEquals": { "aws:PrincipalAccount": [HOME, STRANGER] } })),
        1 => Just(json!({ "ArnNotLike": { "aws:PrincipalArn": "arn:aws:iam::111122223333:role/a*" } })),
        1 => Just(json!({ "StringEquals": { "kms:ViaService": "s3.amazonaws.com", "kms:CallerAccount": HOME } })),
        1 => Just(json!({ "ForAllValues:StringLike": { "x": [true, 5, "z"] } })),
    ]
}

fn action() -> impl Strategy<Value = Value> {
    let one = prop_oneof![
        Just("kms:*"),
        Just("kms:Decrypt"),
        Just("kms:Put*"),
        Just("kms:Create?rant"),
        Just("*Key*"),
        Just("kms:Nothing"),
    ];
    prop::collection::vec(one, 1..4).prop_map(|actions| json!(actions))
}

prop_compose! {
    fn any_statement()(allow in any::<bool>(), not in any::<bool>(), who in principal(), what in action(), condition in condition()) -> Value {
        let mut statement = statement(if allow { "Allow" } else { "Deny" }, Value::Null, what, condition);
        statement.as_object_mut().unwrap().remove("Principal");
        statement[if not { "NotPrincipal" } else { "Principal" }] = who;
        statement
    }
}

fn statements() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(any_statement(), 0..7)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_differs_from_itself_in_nothing(statements in statements()) {
        prop_assert_eq!(change(&statements, &statements), Change::default());
    }

    #[test]
    fn the_order_of_statements_does_not_count(before in statements(), after in statements(), seed in any::<prop::sample::Index>()) {
        let turned = |list: &[Value]| {
            let mut list = list.to_vec();
            let length = list.len().max(1);
            list.rotate_left(seed.index(length));
            list.reverse();
            list
        };
        prop_assert_eq!(change(&before, &after), change(&turned(&before), &turned(&after)));
        let same = Access { unknown: vec![], ..meaning(&before) };
        prop_assert_eq!(same, Access { unknown: vec![], ..meaning(&turned(&before)) });
    }

    #[test]
    fn what_one_way_is_gained_the_other_way_is_lost(before in statements(), after in statements()) {
        let (there, back) = (change(&before, &after), change(&after, &before));
        prop_assert_eq!(there.gained.is_empty(), back.lost.is_empty());
        prop_assert_eq!(there.lost.is_empty(), back.gained.is_empty());
    }

    #[test]
    fn a_deny_never_gives(statements in statements(), deny in any_statement()) {
        let mut deny = deny;
        deny["Effect"] = json!("Deny");
        let before = meaning(&statements);
        let mut more = statements;
        more.push(deny);
        let after = meaning(&more);
        prop_assert!(before.public == Some(true) || after.public == Some(false));
        prop_assert!(before.nobody_can.iter().all(|ability| after.nobody_can.contains(ability)));
    }

    #[test]
    fn without_conditions_nothing_is_in_doubt(statements in statements()) {
        let plain: Vec<Value> = statements
            .into_iter()
            .filter(|one| one["Effect"] == "Allow" || one.get("Condition").is_none())
            .collect();
        prop_assert_eq!(meaning(&plain).perhaps_nobody_can, [""; 0]);
    }

    #[test]
    fn what_is_in_doubt_is_not_certain(statements in statements()) {
        let access = meaning(&statements);
        prop_assert!(access.perhaps_nobody_can.iter().all(|ability| !access.nobody_can.contains(ability)));
    }

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        _ = parse(&Value::from(text.clone()));
        let odd = json!({ "Effect": "Allow", "Principal": { "AWS": text.clone() }, "Action": text.clone(), "Resource": "*",
            "Condition": { text.clone(): { text.clone(): text } } });
        let access = meaning(&[odd]);
        prop_assert!(access.given.iter().chain(&access.unknown).all(|line| !line.contains('\n')));
    }
}
