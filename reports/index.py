"""Indexes of the reports, and of the artefacts that they show. They import none of them.

The summaries are copies of what the plug-ins say; `tools/update_indexes.py` updates them.
"""

from mbcbench.registry import Index

REPORTS = Index(
    __package__,
    {
        "experiments": ("paper.report:REPORT", "each experiment as a table of means with intervals: one row per model"),
        "leaderboard": (
            "leaderboard.report:REPORT",
            "laws kept, scores with intervals, throughput and memory: one row per encoder",
        ),
        "costs": ("costs:REPORT", "growth exponents of time and memory, and predicted and measured memory"),
    },
)

ARTEFACTS = Index(
    __package__,
    {
        "fig1": ("paper.diagram:FIG1", "Figure 1: Mini-Batch Consistency"),
        "fig2": ("paper.figures:FIG2", "Figure 2: a Set Transformer on mini-batches"),
        "fig3a": ("paper.figures:FIG3A", "Figure 3a: full sets, by their size"),
        "fig3b": ("paper.figures:FIG3B", "Figure 3b: more pixels stream in"),
        "fig3c": ("paper.figures:FIG3C", "Figure 3c: fewer pixels stream in"),
        "fig3d": ("paper.figures:FIG3D", "Figure 3d: convergence"),
        "fig4a": ("paper.figures:FIG4A", "Figure 4a: the aggregation g"),
        "fig4b": ("paper.figures:FIG4B", "Figure 4b: random and deterministic slots"),
        "fig4c": ("paper.figures:FIG4C", "Figure 4c: levels of a hierarchy"),
        "fig4d": ("paper.figures:FIG4D", "Figure 4d: trained on 100 points, tested on more"),
        "fig5": ("paper.figures:FIG5", "Figure 5: accuracy by ways"),
        "fig6": ("paper.figures:FIG6", "Figure 6: accuracy by the size of the support"),
        "fig7-slots": ("paper.figures:FIG7_SLOTS", "Figure 7: the number of slots"),
        "fig7-dim": ("paper.figures:FIG7_DIM", "Figure 7: the width of slots"),
        "fig7-deterministic": ("paper.figures:FIG7_DETERMINISTIC", "Figure 7: deterministic slots in Figure 3a"),
        "fig8": ("paper.figures:FIG8", "Figure 8: digits, by the size of the support"),
        "fig9": ("paper.embeddings:FIG9", "Figure 9: queries (dots) and centroids (stars)"),
        "fig10": ("paper.embeddings:FIG10", "Figure 10: centroids of growing supports"),
        "table1": ("paper.tables:TABLE1", "Table 1: accuracy on point clouds"),
        "table2": ("paper.tables:TABLE2", "Table 2: models that are not consistent"),
        "table3": ("paper.architectures:TABLE3", "Table 3: the encoder of image completion"),
        "table4": ("paper.architectures:TABLE4", "Table 4: the decoder of image completion"),
        "table5": ("paper.architectures:TABLE5", "Table 5: the Slot Set Encoder on MNIST"),
        "table6": ("paper.architectures:TABLE6", "Table 6: DeepSets on MNIST"),
        "table7": ("paper.architectures:TABLE7", "Table 7: the Slot Set Encoder on ImageNet"),
        "table8": ("paper.architectures:TABLE8", "Table 8: DeepSets on ImageNet"),
        "claims": ("paper.claims_table:CLAIMS_TABLE", "The paper's claims"),
        "arms": ("paper.arms:ARMS_TABLE", "As in the text, as published, and repaired"),
        "completions": ("paper.completions:COMPLETIONS", "Images completed as their context grows"),
        "law-matrix": ("law_figures:LAW_MATRIX", "Encoders and laws"),
        "consistency": ("law_figures:CONSISTENCY", "Consistency error by chunk size"),
        "memory": ("cost_figures:MEMORY", "Memory against n"),
        "time": ("cost_figures:TIME", "Time against n"),
        "quality-cost": ("cost_figures:QUALITY_COST", "Quality against cost"),
        "gradient-bias": ("gradient_figures:GRADIENT_BIAS", "Gradients of training on partitions"),
        "state-quality": ("cost_figures:STATE_QUALITY", "State against quality"),
        "standing": ("leaderboard.standing:STANDING", "Standing over all tasks"),
        "ranking": ("leaderboard.standing:RANKING", "Ranking of trained encoders"),
        "profiles": ("leaderboard.standing:PROFILES", "Performance profiles"),
    },
)
