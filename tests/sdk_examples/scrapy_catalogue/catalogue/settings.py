"""The crawler's settings; where its events go is in the environment."""

BOT_NAME = "catalogue"
SPIDER_MODULES = ["catalogue.spiders"]
EXTENSIONS = {"platform_sdk.jobs.scrapy.Monitor": 500}
PLATFORM_SDK_APP = "crawler"
TELNETCONSOLE_ENABLED = False
CONCURRENT_REQUESTS_PER_DOMAIN = 8
DOWNLOAD_DELAY = 0
