SELECT stream,
       lable FROM detections