"""Ask for scraping runs, live jobs and queues."""

from grafana.queries.shared import rate

RUNS = "60 * " + rate('platform_scraping_runs_total{app=~"$app", scraper=~"$scraper"}', "app, scraper", "5m")
FAILURES = 'app_scraper:platform_scraping_run_failures:ratio5m{app=~"$app", scraper=~"$scraper"}'
APP_FAILURES = 'app_scraper:platform_scraping_run_failures:ratio5m{app=~"$app"}'
ITEMS = "60 * " + rate('platform_scraping_items_total{app=~"$app", scraper=~"$scraper"}', "app, scraper", "5m")
JOBS = 'max by (app, scraper, status) (platform_scraping_jobs{app=~"$app", scraper=~"$scraper"})'
QUEUES = "max by (name, queue) (platform_queue_length)"
FORBIDDEN = 'app_scraper:platform_scraping_runs_forbidden:ratio5m{app=~"$app", scraper=~"$scraper"}'
RATE_LIMITED = 'app_scraper:platform_scraping_runs_rate_limited:ratio5m{app=~"$app", scraper=~"$scraper"}'
HEARTBEAT_AGE = 'app_scraper:platform_scraping_heartbeat_age:seconds{app=~"$app", scraper=~"$scraper"}'
PROGRESS_AGE = 'app_scraper:platform_scraping_progress_age:seconds{app=~"$app", scraper=~"$scraper"}'
PENDING_AGE = 'app_scraper:platform_scraping_pending_age:seconds{app=~"$app", scraper=~"$scraper"}'
LAST_SUCCESS_AGE = 'app_scraper:platform_scraping_last_success_age:seconds{app=~"$app", scraper=~"$scraper"}'
VOLUME = 'app_scraper:platform_scraping_items:ratio1h{app=~"$app", scraper=~"$scraper"}'
