//! From KMS's answers to an inspection's parts. Nothing is judged here.

use aws_sdk_kms::operation::get_key_last_usage::GetKeyLastUsageOutput;
use aws_sdk_kms::operation::get_key_rotation_status::GetKeyRotationStatusOutput;
use aws_sdk_kms::types::{
    GrantConstraints, GrantListEntry, KeyMetadata, MultiRegionConfiguration, MultiRegionKey, MultiRegionKeyType,
    RotationsListEntry,
};

use crate::core::inspection::{Details, KeyGrant, LastUsage, Material, MultiRegion, Rotation};
use crate::keys::kms::timestamp;

pub(super) fn details(key: KeyMetadata) -> Details {
    Details {
        id: key.key_id,
        state: key.key_state.map(|state| state.as_str().to_owned()),
        manager: key.key_manager.map(|manager| manager.as_str().to_owned()),
        origin: key.origin.map(|origin| origin.as_str().to_owned()),
        spec: key.key_spec.map(|spec| spec.as_str().to_owned()),
        usage: key.key_usage.map(|usage| usage.as_str().to_owned()),
        description: key.description.filter(|text| !text.is_empty()),
        created: timestamp(key.creation_date),
        deletion_date: timestamp(key.deletion_date),
        pending_window_days: key.pending_deletion_window_in_days,
        valid_to: timestamp(key.valid_to),
        expiration_model: key.expiration_model.map(|model| model.as_str().to_owned()),
        key_store: key.custom_key_store_id,
        multi_region: key.multi_region_configuration.map(multi_region).or_else(|| {
            // Some servers say only that it is one.
            key.multi_region.unwrap_or_default().then(MultiRegion::default)
        }),
    }
}

fn multi_region(configuration: MultiRegionConfiguration) -> MultiRegion {
    let arn = |key: MultiRegionKey| key.arn;
    MultiRegion {
        primary: configuration.multi_region_key_type == Some(MultiRegionKeyType::Primary),
        primary_key: configuration.primary_key.and_then(arn),
        replicas: configuration.replica_keys.unwrap_or_default().into_iter().filter_map(arn).collect(),
    }
}

pub(super) fn rotation(answer: &GetKeyRotationStatusOutput) -> Rotation {
    Rotation {
        enabled: answer.key_rotation_enabled,
        period_days: answer.rotation_period_in_days,
        next: timestamp(answer.next_rotation_date),
        on_demand_start: timestamp(answer.on_demand_rotation_start_date),
    }
}

pub(super) fn material(entry: RotationsListEntry) -> Material {
    Material {
        id: entry.key_material_id,
        state: entry.key_material_state.map(|state| state.as_str().to_owned()),
        import_state: entry.import_state.map(|state| state.as_str().to_owned()),
        valid_to: timestamp(entry.valid_to),
        rotated: timestamp(entry.rotation_date),
        kind: entry.rotation_type.map(|kind| kind.as_str().to_owned()),
    }
}

pub(super) fn grant(entry: GrantListEntry) -> KeyGrant {
    let mut operations: Vec<String> =
        entry.operations.unwrap_or_default().iter().map(|operation| operation.as_str().to_owned()).collect();
    operations.sort_unstable();
    KeyGrant {
        id: entry.grant_id,
        name: entry.name.filter(|name| !name.is_empty()),
        created: timestamp(entry.creation_date),
        grantee: entry.grantee_principal.filter(|text| !text.is_empty()),
        grantee_service: entry.grantee_service_principal,
        retiree: entry.retiring_service_principal.or(entry.retiring_principal),
        operations,
        constrained: entry.constraints.as_ref().is_some_and(narrows),
    }
}

fn narrows(constraints: &GrantConstraints) -> bool {
    let some =
        |map: &Option<std::collections::HashMap<String, String>>| map.as_ref().is_some_and(|map| !map.is_empty());
    some(&constraints.encryption_context_equals)
        || some(&constraints.encryption_context_subset)
        || constraints.source_arn.is_some()
}

pub(super) fn last_usage(answer: GetKeyLastUsageOutput) -> LastUsage {
    let usage = answer.key_last_usage;
    LastUsage {
        at: usage.as_ref().and_then(|usage| timestamp(usage.timestamp)),
        operation: usage.as_ref().and_then(|usage| Some(usage.operation.as_ref()?.as_str().to_owned())),
        event_id: usage.and_then(|usage| usage.cloud_trail_event_id),
        tracked_from: timestamp(answer.tracking_start_date),
    }
}
