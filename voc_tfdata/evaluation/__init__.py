"""Predictions -> average precision, baselines, tables, figures, a report.

In: a model and a split, or labels and scores. Out: numbers in VOC's definitions, and the files of a report.

Read in this order: predictions (one pass over a split), metrics (AP, loss, accuracy), baselines (what they come to
without looking), summary (metrics.json), figures and picture_grid (PNG), prediction_files (CSV, VOC submissions),
report and report_html (all of it written), model_report (a model against a split).
"""
