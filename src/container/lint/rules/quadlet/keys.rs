//! The keys that podman's generator knows (podman-systemd.unit(5), of podman 6.0). It passes over a file with any
//! other key as a whole.

/// A section, and its keys.
const KEYS: [(&str, &str); 9] = [
    (
        "Container",
        "AddCapability AddDevice AddHost Annotation AppArmor AutoUpdate CgroupsMode ContainerName ContainersConfModule DNS \
         DNSOption DNSSearch DropCapability Entrypoint Environment EnvironmentFile EnvironmentHost Exec ExposeHostPort GIDMap \
         GlobalArgs Group GroupAdd HealthCmd HealthInterval HealthLogDestination HealthMaxLogCount HealthMaxLogSize \
         HealthOnFailure HealthRetries HealthStartPeriod HealthStartupCmd HealthStartupInterval HealthStartupRetries \
         HealthStartupSuccess HealthStartupTimeout HealthTimeout HostName HttpProxy IP IP6 Image Label LogDriver LogOpt Mask \
         Memory Mount Network NetworkAlias NoNewPrivileges Notify PidsLimit Pod PodmanArgs PublishPort Pull ReadOnly \
         ReadOnlyTmpfs ReloadCmd ReloadSignal RemapGid RemapUid RemapUidSize RemapUsers Retry RetryDelay Rootfs RunInit \
         SeccompProfile Secret SecurityLabelDisable SecurityLabelFileType SecurityLabelLevel SecurityLabelNested \
         SecurityLabelType ServiceName ShmSize StartWithPod StopSignal StopTimeout SubGIDMap SubUIDMap Sysctl Timezone Tmpfs \
         UIDMap Ulimit Unmask User UserNS VolatileTmp Volume WorkingDir",
    ),
    (
        "Volume",
        "ContainersConfModule Copy Device Driver GID GlobalArgs Group Image Label Options PodmanArgs ServiceName Type UID User \
         VolumeName",
    ),
    (
        "Network",
        "ContainersConfModule DNS DisableDNS Driver Gateway GlobalArgs IPAMDriver IPRange IPv6 InterfaceName Internal Label \
         NetworkDeleteOnStop NetworkName Options PodmanArgs ServiceName Subnet",
    ),
    (
        "Kube",
        "AutoUpdate ConfigMap ContainersConfModule ExitCodePropagation GlobalArgs KubeDownForce LogDriver LogOpt Network \
         PodmanArgs PublishPort RemapGid RemapUid RemapUidSize RemapUsers ServiceName SetWorkingDirectory UserNS Yaml",
    ),
    (
        "Image",
        "AllTags Arch AuthFile CertDir ContainersConfModule Creds DecryptionKey GlobalArgs Image ImageTag OS PodmanArgs Policy \
         Retry RetryDelay ServiceName TLSVerify Variant",
    ),
    (
        "Build",
        "Annotation Arch AuthFile BuildArg ContainersConfModule DNS DNSOption DNSSearch Environment File ForceRM GlobalArgs \
         GroupAdd IgnoreFile ImageTag Label Network PodmanArgs Pull Retry RetryDelay Secret ServiceName SetWorkingDirectory \
         TLSVerify Target Variant Volume",
    ),
    (
        "Artifact",
        "Artifact AuthFile CertDir ContainersConfModule Creds DecryptionKey GlobalArgs PodmanArgs Quiet Retry RetryDelay \
         ServiceName TLSVerify",
    ),
    (
        "Pod",
        "AddHost ContainersConfModule DNS DNSOption DNSSearch ExitPolicy GIDMap GlobalArgs HostName IP IP6 Label Network \
         NetworkAlias PodName PodmanArgs PublishPort RemapGid RemapUid RemapUidSize RemapUsers ServiceName ShmSize StopTimeout \
         SubGIDMap SubUIDMap UIDMap UserNS Volume",
    ),
    ("Quadlet", "DefaultDependencies"),
];

/// Whether the generator knows a key. Sections of systemd's own go to systemd as they are.
pub(super) fn is_known(section: &str, key: &str) -> bool {
    let mut keys = KEYS.iter().filter(|(name, _)| *name == section);
    keys.next().is_none_or(|(_, keys)| keys.split_ascii_whitespace().any(|known| known == key))
}

/// The key that somebody may have meant: the same in other letters, or with one more or less at its end.
pub(super) fn meant(section: &str, key: &str) -> Option<&'static str> {
    let (_, keys) = KEYS.iter().find(|(name, _)| *name == section)?;
    let same = |known: &&str| {
        let common = known.len().min(key.len());
        known.len().abs_diff(key.len()) <= 1
            && known
                .get(..common)
                .is_some_and(|known| key.get(..common).is_some_and(|key| known.eq_ignore_ascii_case(key)))
    };
    keys.split_ascii_whitespace().find(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_section() {
        assert!(
            is_known("Container", "Image")
                && is_known("Service", "Whatever")
                && is_known("Quadlet", "DefaultDependencies")
        );
        assert!(!is_known("Container", "image") && !is_known("Volume", "Exec"));
        assert_eq!(meant("Container", "image"), Some("Image"));
        assert_eq!(meant("Container", "Ports"), None);
        assert_eq!(meant("Container", "PublishPorts"), Some("PublishPort"));
        assert_eq!(meant("Container", "Volumee"), Some("Volume"));
    }
}
