"""Ask for the applications' own samples, whose names they choose."""

from exporter.events.sample import PREFIX

ALL = f'{{__name__=~"{PREFIX}.+"}}'
GAUGES = f'{{__name__=~"{PREFIX}.+", __name__!~".+_(total|bucket|sum|count)", app=~"$app"}}'
