//! KMS's permissions, and the abilities they add up to.

use std::fmt::Write as _;

/// What permissions are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ability {
    Use,
    Administer,
    Grant,
    Delete,
    CancelDeletion,
    ChangePolicy,
    Read,
}

impl Ability {
    pub const ALL: [Self; 7] =
        [Self::Use, Self::Administer, Self::Grant, Self::Delete, Self::CancelDeletion, Self::ChangePolicy, Self::Read];

    /// As fields write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Administer => "administer",
            Self::Grant => "grant",
            Self::Delete => "delete",
            Self::CancelDeletion => "cancel_deletion",
            Self::ChangePolicy => "change_policy",
            Self::Read => "read",
        }
    }

    /// As people read it.
    fn words(self) -> &'static str {
        match self {
            Self::CancelDeletion => "cancel deletion",
            Self::ChangePolicy => "change the policy",
            other => other.as_str(),
        }
    }

    /// Every permission that belongs to it.
    pub fn actions(self) -> Actions {
        TABLE
            .iter()
            .enumerate()
            .filter(|(_, (_, ability))| *ability == self)
            .fold(Actions::NONE, |all, (at, _)| Actions(all.0 | 1 << at))
    }
}

/// A set of KMS permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Actions(u64);

impl Actions {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self((1 << TABLE.len()) - 1);

    /// The permissions that a policy's pattern (`kms:Describe*`) names; case does not count.
    pub fn named(pattern: &str) -> Self {
        let pattern = pattern.to_ascii_lowercase();
        let mut found = Self::NONE;
        for (at, (name, _)) in TABLE.iter().enumerate() {
            if fits(pattern.as_bytes(), format!("kms:{}", name.to_ascii_lowercase()).as_bytes()) {
                found.0 |= 1 << at;
            }
        }
        found
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The abilities that it holds something of.
    pub fn abilities(self) -> impl Iterator<Item = Ability> {
        Ability::ALL.into_iter().filter(move |ability| !self.within(ability.actions()).is_empty())
    }

    /// `use, grant`; an ability that is there in part names its permissions: `use (Decrypt)`.
    pub fn words(self) -> String {
        if self == Self::ALL {
            return "everything".to_owned();
        }
        let mut text = String::new();
        for ability in Ability::ALL {
            let all = ability.actions();
            let have = self.within(all);
            if have.is_empty() {
                continue;
            }
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(ability.words());
            if have != all {
                let names: Vec<&str> = have.names().collect();
                let shown = names.get(..NAMES_SHOWN).unwrap_or(&names);
                let more = if names.len() > shown.len() { ", …" } else { "" };
                // Writing to a string cannot fail.
                _ = write!(text, " ({}{more})", shown.join(", "));
            }
        }
        text
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        TABLE.iter().enumerate().filter(move |(at, _)| self.0 & 1 << at != 0).map(|(_, (name, _))| *name)
    }
}

/// Permissions named of one ability.
const NAMES_SHOWN: usize = 4;

/// Whether `text` fits `pattern`, in which `*` stands for any characters and `?` for one. Takes at most the product of the
/// lengths, and stops where the text does.
pub(super) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                star = Some((p + 1, t));
                p += 1;
            }
            (Some(b'?'), _) => (p, t) = (p + 1, t + 1),
            (Some(a), Some(b)) if a == b => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|b| *b == b'*')
}

/// The permissions a key policy can give (KMS developer guide, "AWS KMS permissions"), at most 63.
const TABLE: &[(&str, Ability)] = &[
    ("Encrypt", Ability::Use),
    ("Decrypt", Ability::Use),
    ("ReEncryptFrom", Ability::Use),
    ("ReEncryptTo", Ability::Use),
    ("GenerateDataKey", Ability::Use),
    ("GenerateDataKeyWithoutPlaintext", Ability::Use),
    ("GenerateDataKeyPair", Ability::Use),
    ("GenerateDataKeyPairWithoutPlaintext", Ability::Use),
    ("Sign", Ability::Use),
    ("Verify", Ability::Use),
    ("GenerateMac", Ability::Use),
    ("VerifyMac", Ability::Use),
    ("DeriveSharedSecret", Ability::Use),
    ("CreateGrant", Ability::Grant),
    ("ScheduleKeyDeletion", Ability::Delete),
    ("DisableKey", Ability::Delete),
    ("DeleteImportedKeyMaterial", Ability::Delete),
    ("CancelKeyDeletion", Ability::CancelDeletion),
    ("PutKeyPolicy", Ability::ChangePolicy),
    ("EnableKey", Ability::Administer),
    ("EnableKeyRotation", Ability::Administer),
    ("DisableKeyRotation", Ability::Administer),
    ("RotateKeyOnDemand", Ability::Administer),
    ("ImportKeyMaterial", Ability::Administer),
    ("ReplicateKey", Ability::Administer),
    ("SynchronizeMultiRegionKey", Ability::Administer),
    ("UpdatePrimaryRegion", Ability::Administer),
    ("UpdateKeyDescription", Ability::Administer),
    ("CreateAlias", Ability::Administer),
    ("UpdateAlias", Ability::Administer),
    ("DeleteAlias", Ability::Administer),
    ("TagResource", Ability::Administer),
    ("UntagResource", Ability::Administer),
    ("RetireGrant", Ability::Administer),
    ("RevokeGrant", Ability::Administer),
    ("DescribeKey", Ability::Read),
    ("GetKeyLastUsage", Ability::Read),
    ("GetKeyPolicy", Ability::Read),
    ("GetKeyRotationStatus", Ability::Read),
    ("GetParametersForImport", Ability::Read),
    ("GetPublicKey", Ability::Read),
    ("ListAliases", Ability::Read),
    ("ListGrants", Ability::Read),
    ("ListKeyPolicies", Ability::Read),
    ("ListKeyRotations", Ability::Read),
    ("ListResourceTags", Ability::Read),
    ("ListRetirableGrants", Ability::Read),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_permissions_whatever_their_case() {
        assert_eq!(Actions::named("kms:*"), Actions::ALL);
        assert_eq!(Actions::named("*"), Actions::ALL);
        assert_eq!(Actions::named("KMS:decrypt").words(), "use (Decrypt)");
        assert_eq!(Actions::named("kms:ReEncrypt*").words(), "use (ReEncryptFrom, ReEncryptTo)");
        assert_eq!(Actions::named("kms:?ign").words(), "use (Sign)");
        assert_eq!(Actions::named("kms:PutKeyPolicy").words(), "change the policy");
        for none in ["", "kms", "kms:", "s3:*", "kms:Decrypt ", "decrypt", "kms:NewThing"] {
            assert_eq!(Actions::named(none), Actions::NONE, "{none}");
        }
    }

    #[test]
    fn abilities_share_no_permission_and_leave_none_out() {
        let mut all = Actions::NONE;
        for ability in Ability::ALL {
            assert!(ability.actions().within(all).is_empty() && !ability.actions().is_empty(), "{ability:?}");
            all = all.and(ability.actions());
        }
        assert_eq!(all, Actions::ALL);
        assert_eq!(Actions::ALL.words(), "everything");
        assert_eq!(Ability::Use.actions().and(Ability::Grant.actions()).words(), "use, grant");
    }

    #[test]
    fn stars_take_no_more_than_the_product_of_the_lengths() {
        let pattern = "*a".repeat(40_000);
        assert!(!fits(pattern.as_bytes(), "kms:generatedatakeypairwithoutplaintext".as_bytes()));
        for (pattern, text, expected) in
            [("a*b*c", "aXbXc", true), ("a*b*c", "aXbX", false), ("*", "", true), ("?", "", false), ("a**", "a", true)]
        {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
