"""Ask for scraping runs, live jobs and queues."""

from grafana.queries.shared import rate

RUNS = "60 * " + rate('platform_scraping_runs_total{app=~"$app", scraper=~"$scraper"}', "app, scraper", "5m")
FAILURES = 'app_scraper:platform_scraping_run_failures:ratio5m{app=~"$app", scraper=~"$scraper"}'
APP_FAILURES = 'app_scraper:platform_scraping_run_failures:ratio5m{app=~"$app"}'
ITEMS = "60 * " + rate('platform_scraping_items_total{app=~"$app", scraper=~"$scraper"}', "app, scraper", "5m")
JOBS = 'max by (app, scraper, status) (platform_scraping_jobs{app=~"$app", scraper=~"$scraper"})'
QUEUES = "max by (name, queue) (platform_queue_length)"
