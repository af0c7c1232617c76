{{- define "platform-exporter.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "platform-exporter.selector" -}}
app.kubernetes.io/name: platform-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "platform-exporter.labels" -}}
{{ include "platform-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Labels of what the operator's selectors look for. */}}
{{- define "platform-exporter.monitoring-labels" -}}
{{ toYaml (merge (dict) .Values.monitoringLabels (include "platform-exporter.labels" . | fromYaml)) }}
{{- end }}

{{- define "platform-exporter.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The exporter's configuration. What is written in `config` is more exact, and wins. */}}
{{- define "platform-exporter.configuration" -}}
{{- $database := dict "dsn_file" (printf "/run/secrets/database/%s" .Values.database.key) }}
{{- $folder := "/var/lib/platform-exporter" }}
{{- $own := dict "listen" "0.0.0.0:9847" "state_folder" (printf "%s/state" $folder) "database" $database }}
{{- range $key := list "sources" "probes" "dependencies" "thresholds" }}
{{- with index $.Values $key }}{{ $_ := set $own $key . }}{{ end }}
{{- end }}
{{- if .Values.config.alerts }}{{ $_ := set $own "alerts" (dict "spool_folder" (printf "%s/alerts" $folder)) }}{{ end }}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.config)) }}
{{- end }}

{{- define "platform-exporter.pod-security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "platform-exporter.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
