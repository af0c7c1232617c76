"""Fields of the items that scrapers find: in how many items each was filled, and with what."""

from platform_sdk.events.base import APP, Column, EventKind, Label, Rollup, reject_number

TYPES = ("text", "number", "boolean", "time", "list", "object", "other")

_TYPE = Column("type", "text", "what it was filled with", values=TYPES)
_LABELS = (APP, Label("scraper", "scraper"))

SCRAPING_FIELD = EventKind(
    name="scraping_field",
    rows_are="a number of items of a scraping job in which a field was filled with values of one type",
    columns=(
        Column("job_id", "text", "the job"),
        Column("scraper", "text", "the scraper's type", required=True),
        Column("field", "text", "the field, nested ones with dots; NULL: all items that were looked at"),
        _TYPE,
        Column("items", "bigint", "how many items", default="1"),
    ),
    checks=(reject_number("items"),),
    rollups=(
        Rollup(
            "platform_scraping_items_examined_total",
            "Items of scraping jobs whose fields were looked at.",
            _LABELS,
            value="CASE WHEN field IS NULL THEN coalesce(items, 0) ELSE 0 END",
        ),
        Rollup(
            "platform_scraping_field_items_total",
            "Items of scraping jobs in which a field was filled, by the type of its values.",
            (*_LABELS, Label("field", "field"), Label("type", _TYPE.closed, open=False)),
            value="coalesce(items, 0)",
            require="field",
        ),
    ),
)
