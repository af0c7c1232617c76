"""TLS certificates of the components that the exporter probes, and its own: time until they expire."""

from exporter.indicators.declaration import COMPONENT, Band, Group, Indicator, Record, RuleFile

ENDS = "{{ if gt $value 0.0 }}expires in {{ $value | humanizeDuration }}{{ else }}has expired{{ end }}"

EXPIRY = Indicator(
    name="certificate_expiry_seconds",
    alert="PlatformCertificateExpiring",
    title="Certificates",
    meaning="Time left until a TLS certificate expires.",
    scope=COMPONENT,
    value="component:platform_certificate_remaining:seconds",
    bands={
        "medium": Band(1_814_400.0, "1m", "5m"),
        "high": Band(604_800.0, "1m", "5m"),
        "critical": Band(86_400.0, "1m", "5m"),
    },
    lower_is_worse=True,
    summary="The certificate of {{ $labels.component }} {{ $labels.name }} " + ENDS,
    text="The TLS certificate of {{ $labels.component }} {{ $labels.name }} " + ENDS,
    shown="humanizeDuration",
    subject="components",
    state=None,
    few="a certificate expires whatever the traffic is",
)

FILE = RuleFile(
    "certificates",
    "TLS certificates of the components that the exporter probes, and its own: time until they expire, negative afterwards.\n\n"
    "The cause of PlatformComponentUnreachable with reason tls, and of an endpoint of PlatformComponentDown, may be a certificate "
    "that expired.",
    (
        Group(
            "platform_certificates",
            "30s",
            (
                Record(
                    EXPIRY.value,
                    "min by (component, name) (platform_component_certificate_expiry_timestamp_seconds) - time()\nor\n"
                    "min by (component, name) (label_replace(label_replace(\n"
                    '  platform_exporter_certificate_expiry_timestamp_seconds, "component", "exporter", "", ""), '
                    '"name", "$1", "instance", "(.+)")) - time()',
                ),
                EXPIRY,
            ),
        ),
    ),
)
