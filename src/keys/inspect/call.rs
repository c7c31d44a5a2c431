//! The calls an inspection makes, and how many of each in a second.

/// One call of KMS's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Call {
    ListKeys,
    ListAliases,
    DescribeKey,
    ListResourceTags,
    GetKeyRotationStatus,
    ListKeyRotations,
    GetKeyPolicy,
    ListGrants,
    GetKeyLastUsage,
}

impl Call {
    /// In the order in which they are declared: a call's number is its place here.
    pub(super) const ALL: [Self; 9] = [
        Self::ListKeys,
        Self::ListAliases,
        Self::DescribeKey,
        Self::ListResourceTags,
        Self::GetKeyRotationStatus,
        Self::ListKeyRotations,
        Self::GetKeyPolicy,
        Self::ListGrants,
        Self::GetKeyLastUsage,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ListKeys => "ListKeys",
            Self::ListAliases => "ListAliases",
            Self::DescribeKey => "DescribeKey",
            Self::ListResourceTags => "ListResourceTags",
            Self::GetKeyRotationStatus => "GetKeyRotationStatus",
            Self::ListKeyRotations => "ListKeyRotations",
            Self::GetKeyPolicy => "GetKeyPolicy",
            Self::ListGrants => "ListGrants",
            Self::GetKeyLastUsage => "GetKeyLastUsage",
        }
    }

    /// As the metric's label has it.
    pub(super) fn metric(self) -> &'static str {
        match self {
            Self::ListKeys => "list_keys",
            Self::ListAliases => "list_aliases",
            Self::DescribeKey => "describe_key",
            Self::ListResourceTags => "list_tags",
            Self::GetKeyRotationStatus => "get_rotation_status",
            Self::ListKeyRotations => "list_rotations",
            Self::GetKeyPolicy => "get_policy",
            Self::ListGrants => "list_grants",
            Self::GetKeyLastUsage => "get_last_usage",
        }
    }

    /// Requests in a second, by default for each account and Region (KMS developer guide, "Request quotas").
    pub(super) fn quota(self) -> u32 {
        match self {
            Self::DescribeKey | Self::ListResourceTags => 2000,
            Self::GetKeyPolicy | Self::GetKeyRotationStatus => 1000,
            Self::ListKeys | Self::ListAliases => 500,
            Self::ListKeyRotations | Self::ListGrants => 100,
            Self::GetKeyLastUsage => 5,
        }
    }

    /// Requests in a second that we make at most. The quota is everybody's in the account: a quarter is enough for us, and fifty
    /// in any case. Of the smallest quota a quarter would take for ever, and nobody else lives on it.
    pub(super) fn pace(self) -> f64 {
        match self {
            Self::GetKeyLastUsage => 3.0,
            other => (f64::from(other.quota()) / 4.0).min(50.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_by_its_number_and_stays_below_its_quota() {
        for (number, call) in Call::ALL.iter().enumerate() {
            assert_eq!(*call as usize, number);
            assert!(call.pace() <= f64::from(call.quota()) * 0.6, "{call:?}");
        }
    }
}
