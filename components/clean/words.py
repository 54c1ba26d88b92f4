"""Words that mark pages nobody wants to read. Short own lists: a rule counts different words, so one
word in a good article about its subject never drops it (long lists flag many good pages)."""

ADULT = (
    "アダルト動画", "エロ動画", "無修正動画", "無修正", "裏ビデオ", "素人動画", "ハメ撮り", "中出し",
    "av女優", "av男優", "デリヘル", "ソープランド", "風俗嬢", "セフレ", "人妻", "熟女", "巨乳", "爆乳",
    "援交", "援助交際", "オナニー", "フェラ", "セックス", "アダルトサイト", "アダルトグッズ", "ヌード",
    "おっぱい", "淫乱", "痴女", "即ハメ", "童貞", "エッチな", "エロい", "出会い系", "盗撮", "調教", "オナホ",
    "porn", "xxx video", "hardcore sex", "nude girls", "sex cam", "escort girls",
)  # fmt: skip

ADVERTISING = (
    "送料無料", "激安", "最安値", "格安", "期間限定", "数量限定", "初回限定", "無料登録", "登録無料",
    "今すぐ", "今なら", "クリック", "クーポン", "キャンペーン", "お買い得", "特別価格", "大特価", "ポイント還元",
    "楽天市場", "通販", "稼げる", "稼ぐ", "副業", "高収入", "在宅ワーク", "即日融資", "審査なし", "キャッシング",
    "スーパーコピー", "ブランドコピー", "偽物", "返金保証", "全額返金", "サプリ", "バイアグラ", "カジノ",
    "おすすめランキング", "口コミ", "高価買取", "業界最安", "お申し込みはこちら", "詳しくはこちら", "資料請求",
    "モニター募集", "痩せる", "必勝法", "儲かる", "不労所得", "line登録", "友だち追加", "セール",
    "free shipping", "buy now", "click here", "limited time offer", "casino", "viagra", "payday loan",
    "best price", "money back guarantee", "work from home", "earn money", "discount code",
    "free money", "hot deal", "100% guaranteed", "lose weight", "special offer", "act now", "order now",
    "no credit check", "cheap price", "click below", "subscribe now", "make money",
)  # fmt: skip
