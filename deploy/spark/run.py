"""Run the job under spark-submit: `spark-submit --master spark://host:7077 --properties-file spark-defaults.conf run.py`.

STARTS_SPARK_MASTER must name the same master. The exit code is that of the job.
"""

import sys

from orchestration.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
